#!/usr/bin/env bash
# One local machine: machine.sh create | start | stop | restart | update | delete
#
# A machine is systemd in its own mount, PID, UTS, IPC, network and cgroup namespaces. Everything it needs to be started
# again is in its folder, GG_MACHINE_DIR; what the namespaces hold (mounts, network) ends with its processes, so a killed
# machine leaves control groups and files only, and both are recorded in the folder before they are made.
#   owner machine.conf hosts authorized_key     what it is (data, never sourced)
#   upper/ work/ root/ disk/ proc/              its overlay, the folders that must be a real disk, and files shown below /proc
#   store                                       the image its container store was made from
#   run/                                        while it runs: cgroups, init.pid, init.start, image
#   console.log                                 what was said before systemd took over
# `create` reads the values from the environment and the private SSH host key from stdin; the other verbs read the folder.
#
# A machine may come with more than one network card, and set itself up (cloud-init). Instead of GG_ADDRESS, GG_PREFIX,
# GG_GATEWAY, GG_BRIDGE, GG_ALIAS, GG_HOSTS, GG_AUTHORIZED_KEY and the host key, `create` then gets:
#   GG_NICS           "NAME MAC ADDRESS/PREFIX BRIDGE [GATEWAY];..."; the bridges are there already
#   GG_SEED           folder laid over the image before the first start
#   GG_NETWORK_SETUP  optional: program run in the machine's network namespace, with the machine's folder as its argument,
#                     when the cards have their addresses and are still down
set -euo pipefail
scripts=$(cd "$(dirname "$0")" && pwd)
# shellcheck source-path=SCRIPTDIR source=base.sh
. "$scripts/base.sh"
# shellcheck source-path=SCRIPTDIR source=cgroup.sh
. "$scripts/cgroup.sh"

readonly KEYS="environment name instance address prefix gateway bridge alias veth cgroup memory image bundles \
nics seed network_setup"

# Folders that need a real file system (overlay on overlay is refused, etcd wants fsync) and outlive the container store.
readonly DISKS="containerd:/var/lib/containerd kubelet:/var/lib/kubelet etcd:/var/lib/etcd \
local-path:/opt/local-path-provisioner log:/var/log"

# Units that would reach for the host's devices or clocks, wait for a terminal, or run on a timer nobody wants here.
readonly MASKED="systemd-udevd.service systemd-udevd-control.socket systemd-udevd-kernel.socket systemd-udev-trigger.service \
systemd-udev-settle.service systemd-timesyncd.service systemd-networkd.service systemd-resolved.service \
systemd-logind.service dbus-org.freedesktop.login1.service systemd-firstboot.service systemd-hwdb-update.service systemd-modules-load.service \
systemd-remount-fs.service systemd-journal-catalog-update.service systemd-update-utmp.service systemd-pcrphase.service \
systemd-pcrphase-sysinit.service modprobe@.service kmod-static-nodes.service systemd-machine-id-commit.service \
console-getty.service getty.target getty@.service serial-getty@.service container-getty@.service \
dev-hugepages.mount dev-mqueue.mount sys-kernel-debug.mount sys-kernel-tracing.mount sys-kernel-config.mount \
sys-fs-fuse-connections.mount proc-sys-fs-binfmt_misc.automount tmp.mount swap.target \
apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer \
logrotate.timer man-db.timer systemd-tmpfiles-clean.timer ssh.socket"

# Filled by load from machine.conf.
name="" instance="" address="" prefix="" gateway="" bridge="" alias="" veth="" cgroup="" memory="" image="" bundles=""
nics="" seed="" network_setup=""

dir=${GG_MACHINE_DIR:?GG_MACHINE_DIR, the folder of the machine, is not set}
run=$dir/run

load() {
  local key
  [[ -e $dir/machine.conf ]] || fail "$dir holds no machine: it was never finished, or was removed"
  for key in $KEYS; do
    printf -v "$key" '%s' "$(conf_value "$dir/machine.conf" "$key" || true)"
  done
  if [[ -n $seed ]]; then
    # Of the first card.
    address=${nics#* * }
    address=${address%%/*}
  else
    nics="eth0 $(hardware_address "$address") $address/$prefix $bridge $gateway"
  fi
}

# One line "NAME MAC ADDRESS/PREFIX BRIDGE [GATEWAY]" per network card.
list_nics() { tr ';' '\n' <<<"$nics"; }

# list_cables: the host's ends of their cables, in the same order.
list_cables() {
  local index=0
  while read -r _; do
    if ((index == 0)); then printf '%s\n' "$veth"; else printf '%s-%s\n' "$veth" "$index"; fi
    ((++index))
  done < <(list_nics)
}

running() {
  [[ -e $run/init.pid && -e $run/init.start && $(start_time "$(cat "$run/init.pid")") == "$(cat "$run/init.start")" ]]
}

# --- making the folder ---------------------------------------------------------------------------------------------------

save_conf() {
  local key variable
  for key in $KEYS; do
    variable=GG_${key^^}
    printf '%s=%s\n' "$key" "${!variable:-}"
  done | write_file "$dir/machine.conf" 644
  printf '%s\n' "${GG_HOSTS:-}" | write_file "$dir/hosts" 644
  printf '%s\n' "${GG_AUTHORIZED_KEY:-}" | write_file "$dir/authorized_key" 644
}

# The baked container store is shared by links: unpacked layers and blobs are never written in place, only removed as a whole,
# which removes the link. The databases are written in place and are real copies. Links and not hard links: a layer is one link
# instead of thousands of folders to make, count and remove, and the store may be on another file system.
# It is made when the machine starts on an image for the first time; `store` names that image once it is complete.
seed_containerd() {
  local baked=$image/containerd own=$dir/disk/containerd store=/opt/gourmetgram/containerd path
  if [[ -e $dir/store && $(cat "$dir/store") == "$image" ]]; then return 0; fi
  rm -rf --one-file-system "$own"
  mkdir -p "$own"
  if [[ -d $baked ]]; then link_store; fi
  printf '%s\n' "$image" | write_file "$dir/store" 644
}

link_store() {
  # Folders and databases, without what is in the two kinds of shared folders.
  (cd "$baked" && find . \( -path '*/snapshots/*' -o -path '*/blobs/*/*' \) -prune -o -print0) |
    tar --create --directory="$baked" --null --no-recursion --files-from=- | tar --extract --directory="$own"
  while IFS= read -r -d '' path; do
    find "$baked/$path" -mindepth 1 -maxdepth 1 -printf "$store/$path/%f\0" |
      xargs --null --no-run-if-empty ln -s --target-directory="$own/$path"
  done < <(cd "$baked" && find . \( -path '*/snapshots' -o -path '*/blobs/*' \) -prune -type d -printf '%P\0')
}

render_hosts() {
  printf '127.0.0.1 localhost\n'
  cat "$dir/hosts"
}

# A name server on loopback would make CoreDNS forward to itself. The host's own is of use only when the host forwards
# packets; otherwise the host's end of the bridge refuses at once instead of leaving every look-up to time out.
render_resolver() {
  local servers=""
  if [[ $(cat /proc/sys/net/ipv4/ip_forward) == 1 && -r /etc/resolv.conf ]]; then
    servers=$(grep -E '^nameserver ' /etc/resolv.conf | grep -vE '^nameserver (127\.|::1)' | head -2 || true)
  fi
  # Without a gateway of ours nobody answers, not even with a refusal, except the machine itself.
  printf '%s\n' "${servers:-nameserver ${gateway:-$address}}" "options timeout:1 attempts:1"
}

render_machine_env() {
  cat <<END
GG_BUNDLES=/opt/gourmetgram/bundles
GG_CGROUP_DRIVER=$(cgroup_driver)
GG_SHARED_DISK=true
GG_MEMORY_BYTES=$memory
GG_RESTRICT_OOM_SCORE_ADJ=$(lacks_sys_resource)
END
}

# kubelet's driver. On cgroup v1 systemd leaves what it does not know alone; on v2 it wants to be the only writer.
cgroup_driver() {
  if [[ $(cgroup_version /proc/self/cgroup) == 2 ]]; then printf systemd; else printf cgroupfs; fi
}

# Without CAP_SYS_RESOURCE (bit 24) nothing may lower oom_score_adj; container runtimes must be told.
lacks_sys_resource() {
  local bounding
  bounding=$(sed -n 's/^CapBnd:\t*//p' /proc/self/status)
  if (((16#$bounding >> 24 & 1) == 1)); then printf false; else printf true; fi
}

make_upper() {
  local etc=$dir/upper/etc unit
  mkdir -p "$etc/ssh/sshd_config.d" "$etc/systemd/system" "$etc/systemd/journald.conf.d" "$etc/gourmetgram" "$etc/sysctl.d" \
    "$dir"/upper/opt/gourmetgram/{bundles,containerd} "$dir/upper/opt/local-path-provisioner" "$dir/upper/var/lib"
  if [[ -n $seed ]]; then cp -a "$seed/." "$dir/upper"; else make_login; fi
  cat >"$etc/systemd/journald.conf.d/10-gourmetgram.conf" <<END
[Journal]
Storage=persistent
SystemMaxUse=64M
RuntimeMaxUse=16M
ReadKMsg=no
Audit=no
END
  printf 'net.ipv4.ip_forward = 1\n' >"$etc/sysctl.d/99-gourmetgram.conf"
  printf '%s\n' "${instance//-/}" >"$etc/machine-id"
  for unit in $MASKED; do ln -sfn /dev/null "$etc/systemd/system/$unit"; done
  ln -sfn /lib/systemd/system/multi-user.target "$etc/systemd/system/default.target"
  # cgroup v1 hosts: what kubelet insists on writing is shared with the host, so it gets files of its own (see enter.sh).
  mkdir -p "$dir/proc"
  printf '10\n' >"$dir/proc/kernel.panic"
  printf '1\n' >"$dir/proc/kernel.panic_on_oops"
  printf '1\n' >"$dir/proc/vm.overcommit_memory"
}

# Name and SSH server of a machine that does not set itself up.
make_login() {
  local etc=$dir/upper/etc
  install -d -m 700 "$dir/upper/root" "$dir/upper/root/.ssh"
  printf '%s\n' "$name" >"$etc/hostname"
  (umask 077 && cat >"$etc/ssh/gourmetgram_host_key")
  cat >"$etc/ssh/sshd_config.d/10-gourmetgram.conf" <<END
HostKey /etc/ssh/gourmetgram_host_key
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
X11Forwarding no
UsePAM no
UseDNS no
# A whole environment opens its sessions at the same moment.
MaxStartups 200:30:400
MaxSessions 200
LoginGraceTime 60
END
}

# Files that an update may rewrite in a running machine, below ROOT.
write_settings() {
  local root=$1
  render_hosts | write_file "$root/etc/hosts" 644
  render_resolver | write_file "$root/etc/resolv.conf" 644
  render_machine_env | write_file "$root/etc/gourmetgram/machine.env" 644
  if [[ -z $seed ]]; then write_file "$root/root/.ssh/authorized_keys" 600 <"$dir/authorized_key"; fi
}

# Tools size themselves by /proc/meminfo; the machine has its limit, not the host's memory. Written in place: it is a mount.
write_meminfo() {
  local kib=$((memory / 1024))
  printf '%-16s%10d kB\n' MemTotal: "$kib" MemFree: "$kib" MemAvailable: "$kib" Buffers: 0 Cached: 0 SwapCached: 0 \
    Active: 0 Inactive: 0 SwapTotal: 0 SwapFree: 0 Shmem: 0 Slab: 0 SReclaimable: 0 SUnreclaim: 0 >"$dir/proc/meminfo"
}

# --- verbs ---------------------------------------------------------------------------------------------------------------

create() {
  need_env GG_OWNER_STACK GG_OWNER_PROJECT GG_NAME GG_VETH GG_CGROUP GG_MEMORY GG_IMAGE GG_BUNDLES GG_INSTANCE
  if [[ -n ${GG_SEED:-} ]]; then
    need_env GG_NICS
  else
    need_env GG_ADDRESS GG_PREFIX GG_GATEWAY GG_BRIDGE GG_ALIAS GG_HOSTS GG_AUTHORIZED_KEY
  fi
  [[ -x $GG_IMAGE/rootfs/lib/systemd/systemd ]] ||
    fail "$GG_IMAGE/rootfs is no machine image (no lib/systemd/systemd in it): build it again with 'npm run bundle'"
  check_owner "$dir"
  # What an interrupted run left is cleared and made again: no half-made machine is ever continued.
  stop_now
  clear_folder
  write_owner "$dir"
  save_conf
  load
  mkdir -p "$dir"/{upper,work,root,run} "$dir"/disk/{containerd,kubelet,etcd,local-path,log/journal}
  make_upper
  write_settings "$dir/upper"
  write_meminfo
  start
}

clear_folder() {
  find "$dir" -mindepth 1 -maxdepth 1 ! -name owner -exec rm -rf --one-file-system {} +
}

start() {
  local runner
  if running; then return 0; fi
  stop_now
  load
  [[ -d $image/rootfs && -d $bundles ]] || fail "the image $image or the bundles $bundles of $name are gone: run 'npm run bundle'"
  mkdir -p "$run"
  seed_containerd
  if [[ -z $seed ]]; then (cd / && lock_environment && ensure_bridge "$bridge" "$gateway" "$prefix" "$alias"); fi
  cgroup_plan "$cgroup" | write_file "$run/cgroups" 644
  cgroup_make "$run/cgroups" "$memory"

  # Detached from this shell, its terminal, its lock and its working folder: the machine outlives who starts it.
  (
    cgroup_enter "$run/cgroups" "$BASHPID" launcher
    cd /
    exec env -i PATH="$PATH" LC_ALL=C GG_MACHINE_DIR="$dir" setsid "$scripts/machine.sh" run \
      </dev/null >"$dir/console.log" 2>&1 9>&-
  ) &
  runner=$!
  # 60 s: a boot takes two; ten machines on two busy cores take longer.
  wait_for 60 answers "$runner" || machine_failed "does not answer SSH at $address"
}

# The process outside the namespaces: starts the machine, and starts it again whenever it reboots itself.
run_machine() {
  local launcher init status cable nic mac bridge
  load
  while :; do
    rm -f "$run/go" "$run/init.pid" "$run/init.start"
    mkfifo -m 600 "$run/go"
    image_number | write_file "$run/image" 644
    (
      cgroup_enter "$run/cgroups" "$BASHPID" root
      exec env -i PATH="$PATH" LC_ALL=C dir="$dir" name="$name" nics="$nics" network_setup="$network_setup" \
        image="$image" bundles="$bundles" disks="$DISKS" cgroups="$(cut -d' ' -f1 "$run/cgroups" | tr '\n' ' ')" \
        unshare --mount --uts --ipc --net --pid --cgroup --fork --kill-child --propagation private "$scripts/enter.sh"
    ) &
    launcher=$!
    wait_for 10 test -e "$run/init.pid" || fail "$name did not enter its namespaces"
    init=$(cat "$run/init.pid")
    cgroup_enter "$run/cgroups" "$launcher" launcher
    while read -r cable nic mac _ bridge _; do
      if [[ -e /sys/class/net/$cable ]]; then ip link delete dev "$cable"; fi
      ip link add name "$cable" type veth peer name "$nic" address "$mac" netns "$init"
      ip link set dev "$cable" master "$bridge" up
    done < <(paste -d ' ' <(list_cables) <(list_nics))
    start_time "$init" | write_file "$run/init.start" 644
    printf 'go\n' >"$run/go"

    status=0
    # The shell itself would report the signal.
    { wait "$launcher" || status=$?; } 2>/dev/null
    # The kernel ends a PID namespace whose first process reboots with SIGHUP, one that halts with SIGINT.
    if ((status != 128 + 1)); then
      say "$name ended with status $status"
      break
    fi
    say "$name reboots"
    cgroup_empty "$run/cgroups"
  done
  rm -f "$run/init.pid" "$run/init.start"
}

lock_environment() {
  exec 8<"$(dirname "$dir")"
  flock --exclusive --wait 60 8
}

# wait_for SECONDS COMMAND...: until the command succeeds; a status of 2 gives up at once.
wait_for() {
  local end=$((SECONDS + $1)) status
  shift
  while :; do
    status=0
    "$@" || status=$?
    if ((status == 0)); then return 0; fi
    if ((status == 2 || SECONDS > end)); then return 1; fi
    sleep 0.1
  done
}

# answers RUNNER: the SSH server sends its banner. The attempt is given a second: a packet to a machine that is not there yet is
# repeated by the kernel for a minute. Networks that are not ours are not reachable from here: asked from inside.
answers() {
  local within=()
  kill -0 "$1" 2>/dev/null || return 2
  if [[ -n $seed ]]; then
    running || return 1
    within=(nsenter --target "$(cat "$run/init.pid")" --net)
  fi
  # shellcheck disable=SC2016  # expanded by the inner shell
  timeout 1 "${within[@]}" bash -c 'read -r banner <"/dev/tcp/$1/22" && [[ $banner == SSH-* ]]' bash "$address" \
    2>/dev/null || return 1
}

machine_failed() {
  local reason=$1
  say "--- last lines of $name's console and journal"
  log_lines 20 >&2 || true
  stop_now || true
  fail "the machine $name $reason"
}

# log_lines COUNT: console, then the journal, read with the image's own journalctl; works for a dead machine too.
log_lines() {
  tail -n "$1" "$dir/console.log" 2>/dev/null || true
  if [[ -n $(ls -A "$dir/disk/log/journal" 2>/dev/null) ]]; then
    # shellcheck disable=SC2016  # expanded by the inner shell
    unshare --mount --propagation private sh -c \
      'mount --bind "$1" "$2/var/log" && exec chroot "$2" journalctl --directory=/var/log/journal --no-pager --quiet --lines="$3"' \
      sh "$dir/disk/log" "$image/rootfs" "$1"
  fi
}

# Ends every process of the machine and nothing else: those found in its own control groups. Its first process goes first;
# the kernel then ends the whole PID namespace.
stop_now() {
  local pid tries cable
  if [[ -e $run/cgroups ]]; then
    for tries in {1..100}; do
      mapfile -t pids < <(cgroup_pids "$run/cgroups")
      ((${#pids[@]} > 0)) || break
      for pid in "${pids[@]}"; do
        if ((tries % 10 == 0)) || is_first "$pid"; then kill -KILL "$pid" 2>/dev/null || true; fi
      done
      sleep 0.05
    done
    ((${#pids[@]} == 0)) || fail "processes ${pids[*]} of $dir do not end, even when killed (after $tries tries)"
    cgroup_remove "$run/cgroups"
  fi
  if [[ -e $dir/machine.conf ]]; then
    # The kernel takes the network namespace down a moment after its last process.
    while read -r cable; do
      if [[ -e /sys/class/net/$cable ]]; then ip link delete dev "$cable" 2>/dev/null || true; fi
    done < <(load && list_cables)
  fi
  rm -rf "$run"
}

# First process of a PID namespace directly below ours.
is_first() {
  local ids
  ids=$(sed -n 's/^NSpid:[[:space:]]*//p' "/proc/$1/status" 2>/dev/null) || return 1
  [[ $ids =~ ^[0-9]+[[:space:]]+1$ ]]
}

# Asks systemd to halt, so that databases inside close in order; after 30 s it is ended as by a power cut. A machine that lost its
# image stops its services and then finds no program to halt with.
stop() {
  local init seconds=30
  if running; then
    init=$(cat "$run/init.pid")
    kill -s RTMIN+3 "$init" 2>/dev/null || true
    if [[ ! -d $(conf_value "$dir/machine.conf" image)/rootfs ]]; then seconds=10; fi
    wait_for "$seconds" stopped || say "note: $(basename "$dir") did not halt in $seconds s, its processes are ended"
  fi
  stop_now
}

stopped() { ! running; }

# Number of the image's root folder: another one means that the image was removed and built again under a running machine.
image_number() { stat --format=%d:%i "$image/rootfs" 2>/dev/null || true; }

# Applies changed values. Those a running machine can take are applied to it; another image or other bundles need a restart.
update() {
  local image_before bundles_before root=$dir/upper
  check_owner "$dir"
  load
  image_before=$image bundles_before=$bundles
  if running && [[ $GG_BUNDLES != "$bundles_before" || $GG_IMAGE != "$image_before" || $(image_number) != "$(cat "$run/image")" ]]; then
    stop
  fi
  save_conf
  load
  write_meminfo
  if running; then
    root=/proc/$(cat "$run/init.pid")/root
  fi
  write_settings "$root"
  if IFS= read -r -t 5 key && [[ -n $key ]]; then
    { printf '%s\n' "$key" && cat; } | write_file "$root/etc/ssh/gourmetgram_host_key" 600
    # A restart, because a reload returns before the new key is in use. Open sessions stay.
    if running; then nsenter --target "$(cat "$run/init.pid")" --all systemctl restart ssh; fi
  fi
  if running; then
    while read -r _ folder; do
      # Raising works from the outside in, lowering from the inside out.
      cgroup_limit "$folder" "$memory" 2>/dev/null || true
      cgroup_limit "$folder/root" "$memory"
      cgroup_limit "$folder" "$memory"
    done <"$run/cgroups"
  else
    start
  fi
}

delete() {
  check_owner "$dir"
  stop_now
  # The owner goes last: an interrupted delete is still known as ours and is finished by the next one.
  clear_folder
  rm -rf --one-file-system "$dir"
}

case ${1:-} in
  create | start | stop | restart | update | delete)
    if [[ $1 == start || $1 == stop || $1 == restart ]]; then
      [[ -e $dir/machine.conf ]] || fail "$dir holds no machine"
    fi
    if [[ $1 == delete && ! -d $dir ]]; then exit 0; fi
    lock_folder "$dir"
    ;;&
  create) create ;;
  start) start ;;
  stop) stop ;;
  restart)
    stop
    start
    ;;
  update) update ;;
  delete) delete ;;
  run)
    run_machine
    # This process lives as long as the machine; the rest of the script may be another version's by then.
    exit 0
    ;;
  log) load && log_lines "${2:-40}" ;;
  *) fail "usage: machine.sh create|start|stop|restart|update|delete|log [LINES]" ;;
esac
