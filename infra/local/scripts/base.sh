# shellcheck shell=bash
# Functions shared by the scripts of this folder. Sourced, never run.

say() { printf '%s\n' "$*" >&2; }

fail() {
  say "error: $*"
  exit 1
}

need_env() {
  local name
  for name in "$@"; do
    [[ -n ${!name:-} ]] || fail "$name is not set (this script is started by the gourmetgram provider)"
  done
}

# lock_folder DIR: makes DIR if needed and holds an exclusive lock on the folder itself until the script ends. Locking the
# folder and not a file in it leaves nothing behind; the inode is compared because a waiter may get the lock of a folder
# that its holder has just removed.
lock_folder() {
  local dir=$1 held tries=0
  while :; do
    # Both can meet the end of a removal: of this folder, or of the one above.
    if ! { mkdir -p "$dir" && exec 9<"$dir"; } 2>/dev/null; then
      ((++tries < 20)) || fail "cannot make or open the folder $dir"
      sleep 0.1
      continue
    fi
    flock --exclusive --wait 300 9 || fail "$dir is in use by another run for five minutes: wait for it to end, or end it"
    held=$(stat --dereference --format=%d:%i /proc/self/fd/9)
    if [[ $(stat --format=%d:%i "$dir" 2>/dev/null) == "$held" ]]; then return 0; fi
    exec 9<&-
  done
}

# write_file PATH MODE: stdin becomes the file in one step, so that a killed run leaves the old one or the new one.
write_file() {
  local path=$1 mode=$2
  (umask 077 && cat >"$path.new")
  chmod "$mode" "$path.new"
  mv -T "$path.new" "$path"
}

# conf_value FILE KEY: one value of a KEY=VALUE file; the file is data and never sourced.
conf_value() {
  local line
  while IFS= read -r line; do
    if [[ $line == "$2="* ]]; then
      printf '%s' "${line#*=}"
      return 0
    fi
  done <"$1"
  return 1
}

# check_owner FOLDER: a folder of another checkout or stack is never touched. An empty folder belongs to nobody.
check_owner() {
  local dir=$1 stack project
  if [[ ! -e $dir/owner ]]; then
    # A run killed while it wrote the owner left nothing but the beginnings of that file.
    [[ ! -d $dir || -z $(find "$dir" -mindepth 1 -maxdepth 1 ! -name owner.new -print -quit) ]] && return 0
    fail "$dir has files but no owner: it was not made by this program, move it away"
  fi
  stack=$(conf_value "$dir/owner" stack) || stack=unknown
  project=$(conf_value "$dir/owner" project) || project=unknown
  if [[ $stack == "$GG_OWNER_STACK" ]]; then
    # A checkout that is no longer there was moved, and its state with it.
    if [[ $project == "$GG_OWNER_PROJECT" || ! -e $project ]]; then return 0; fi
  fi
  fail "$dir belongs to stack '$stack' of $project; this is stack '$GG_OWNER_STACK' of $GG_OWNER_PROJECT:" \
    "destroy it there, or choose another environment name or GOURMETGRAM_DATA folder here"
}

write_owner() {
  printf 'stack=%s\nproject=%s\n' "$GG_OWNER_STACK" "$GG_OWNER_PROJECT" | write_file "$1/owner" 644
}

# ensure_bridge BRIDGE GATEWAY PREFIX ALIAS
ensure_bridge() {
  local bridge=$1 gateway=$2 prefix=$3 alias=$4 found
  if [[ -e /sys/class/net/$bridge ]]; then
    found=$(cat "/sys/class/net/$bridge/ifalias")
    [[ $found == "$alias" ]] || fail "the interface $bridge exists and is not ours (its alias is '$found', ours would be '$alias')"
  else
    # Two machines of one environment may come here at the same time; the loser finds the bridge made. A bridge without a hardware
    # address of its own has that of one of its cables: with that machine gone, the others would talk to it for seconds.
    ip link add name "$bridge" address "$(hardware_address "$gateway")" type bridge stp_state 0 forward_delay 0 2>/dev/null ||
      [[ -e /sys/class/net/$bridge ]] ||
      fail "cannot make the bridge $bridge: does the kernel have bridges (ip link add type bridge)?"
    ip link set dev "$bridge" alias "$alias"
  fi
  # No IPv6 on our own bridge; the setting lives and dies with the interface.
  if [[ -e /proc/sys/net/ipv6/conf/$bridge/disable_ipv6 ]]; then printf 1 >"/proc/sys/net/ipv6/conf/$bridge/disable_ipv6"; fi
  ip address replace "$gateway/$prefix" dev "$bridge"
  ip link set dev "$bridge" up
}

# hardware_address ADDRESS: always the same, so that what others remember of a machine or bridge that was made again stays right.
hardware_address() {
  local IFS=.
  # shellcheck disable=SC2086
  printf '02:67:%02x:%02x:%02x:%02x' $1
}

# start_time PID: clock ticks since boot at which the process started; with the PID it names one process for ever.
start_time() {
  local stat
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  stat=${stat##*) }
  # shellcheck disable=SC2086
  set -- $stat
  printf '%s' "${20}"
}
