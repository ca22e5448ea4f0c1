# shellcheck shell=bash
# Control groups of one machine. Sourced, never run.
#
# A machine has one folder NAME in each hierarchy, always below the cgroup of whoever starts it:
#   NAME            carries the limits; nothing inside the machine can see or change it
#   NAME/root       the root of the machine's cgroup namespace
#   NAME/launcher   the unshare process outside the namespaces (cgroup v2 wants `root` free of foreign processes)

# cgroup_version SELF_CGROUP: 2 when the unified hierarchy is the only one, else 1.
cgroup_version() {
  local line version=2
  while IFS= read -r line; do
    if [[ $line != 0::* ]]; then version=1; fi
  done <"$1"
  printf '%s\n' "$version"
}

# cgroup_own SELF_CGROUP MOUNTINFO: the caller's own folder in each hierarchy, one line "CONTROLLERS FOLDER" each
# (CONTROLLERS is "unified" for cgroup v2). Mount roots are subtracted, for callers inside a container.
cgroup_own() {
  local self=$1 mountinfo=$2 version id controllers path
  version=$(cgroup_version "$self")
  while IFS=: read -r id controllers path; do
    if [[ $version == 2 ]]; then
      controllers=unified
    elif [[ $id == 0 || -z $controllers ]]; then
      continue
    fi
    cgroup_folder "$mountinfo" "$controllers" "$path"
  done <"$self"
}

# cgroup_folder MOUNTINFO CONTROLLERS PATH
cgroup_folder() {
  local mountinfo=$1 controllers=$2 path=$3 line fields type options root
  while IFS= read -r line; do
    # shellcheck disable=SC2206
    fields=(${line##* - })
    type=${fields[0]}
    options=,${fields[2]:-},
    case $controllers in
      unified) [[ $type == cgroup2 ]] || continue ;;
      *) [[ $type == cgroup && $options == *",${controllers},"* ]] || continue ;;
    esac
    # shellcheck disable=SC2206
    fields=($line)
    root=${fields[3]}
    if [[ $root != / ]]; then
      if [[ $path == "$root" || $path == "$root"/* ]]; then path=${path#"$root"}; else path=/; fi
    fi
    path=${fields[4]}${path%/}
    printf '%s %s\n' "$controllers" "$path"
    return 0
  done <"$mountinfo"
}

# cgroup_unified_base FOLDER: the nearest folder, from the caller's own upwards, that can hand memory control to children.
# A v2 folder with processes in it cannot; a login session on a systemd host is such a one, its slice is not.
cgroup_unified_base() {
  local dir=$1
  while [[ -e $dir/cgroup.controllers ]]; do
    if grep -qw memory "$dir/cgroup.subtree_control"; then
      printf '%s\n' "$dir"
      return 0
    fi
    if grep -qw memory "$dir/cgroup.controllers" && printf '+memory' 2>/dev/null >"$dir/cgroup.subtree_control"; then
      printf '%s\n' "$dir"
      return 0
    fi
    dir=${dir%/*}
  done
  return 1
}

# cgroup_plan NAME: the folders this machine will have, "CONTROLLERS FOLDER" a line. Nothing is made.
cgroup_plan() {
  local name=$1 controllers folder
  while read -r controllers folder; do
    if [[ $controllers == unified ]]; then
      folder=$(cgroup_unified_base "$folder") ||
        fail "no cgroup v2 folder above ${folder} offers the memory controller: start from a shell outside a container, or delegate it"
    fi
    printf '%s %s\n' "$controllers" "$folder/$name"
  done < <(cgroup_own /proc/self/cgroup /proc/self/mountinfo)
}

# cgroup_limit FOLDER BYTES: memory limit, in whichever interface the folder has.
cgroup_limit() {
  if [[ -e $1/memory.max ]]; then
    printf '%s' "$2" >"$1/memory.max"
  elif [[ -e $1/memory.limit_in_bytes ]]; then
    printf '%s' "$2" >"$1/memory.limit_in_bytes" ||
      fail "cannot limit $1 to $2 bytes: it uses $(cat "$1/memory.usage_in_bytes") now"
  fi
}

# cgroup_offer FOLDER: hands every controller it has to the folders below (cgroup v2). Some cannot be handed on everywhere; the
# preflight checks for those that are needed.
cgroup_offer() {
  local controller available
  read -ra available <"$1/cgroup.controllers" || true
  for controller in "${available[@]}"; do
    printf '+%s' "$controller" 2>/dev/null >"$1/cgroup.subtree_control" || true
  done
}

# cgroup_make PLAN_FILE BYTES
cgroup_make() {
  local controllers folder sub
  while read -r controllers folder; do
    if [[ $controllers == unified ]]; then cgroup_offer "${folder%/*}"; fi
    for sub in "" /root /launcher; do
      mkdir -p "$folder$sub"
      if [[ -e $folder$sub/cpuset.cpus && $controllers != unified ]]; then
        # An empty set refuses every process in cgroup v1.
        cat "$folder$sub/../cpuset.cpus" >"$folder$sub/cpuset.cpus"
        cat "$folder$sub/../cpuset.mems" >"$folder$sub/cpuset.mems"
      fi
      if [[ $sub == "" && $controllers == unified ]]; then cgroup_offer "$folder"; fi
    done
    cgroup_limit "$folder" "$2"
    # The machine's own root shows the limit to what asks from inside (systemd, container runtimes).
    cgroup_limit "$folder/root" "$2"
  done <"$1"
}

# cgroup_enter PLAN_FILE PID SUB
cgroup_enter() {
  local controllers folder
  while read -r controllers folder; do
    printf '%s' "$2" >"$folder/$3/cgroup.procs" || fail "cannot move process $2 into $folder/$3 ($controllers)"
  done <"$1"
}

# cgroup_pids PLAN_FILE: every process in the machine's folders.
cgroup_pids() {
  local folder
  while read -r _ folder; do
    if [[ -d $folder ]]; then find "$folder" -name cgroup.procs -exec cat {} + 2>/dev/null || true; fi
  done <"$1" | sort -un | grep -vx 0 || true
}

# cgroup_empty PLAN_FILE: what a machine made below its root does not survive its reboot.
cgroup_empty() {
  local folder
  while read -r _ folder; do
    find "$folder/root" -mindepth 1 -depth -type d -exec rmdir {} \; 2>/dev/null || true
  done <"$1"
}

# cgroup_remove PLAN_FILE: folders go bottom up; the kernel may need a moment after the last process.
cgroup_remove() {
  local folder tries
  while read -r _ folder; do
    for tries in {1..50}; do
      if [[ -d $folder ]]; then find "$folder" -depth -type d -exec rmdir {} \; 2>/dev/null || true; fi
      [[ -d $folder ]] || break
      sleep 0.1
    done
    [[ ! -d $folder ]] || fail "cannot remove the cgroup $folder after $tries tries: $(find "$folder" -name cgroup.procs -exec cat {} + | tr '\n' ' ')"
  done <"$1"
}
