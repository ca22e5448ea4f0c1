#!/usr/bin/env bash
# First process of a new machine, inside its namespaces: builds the machine's file system, becomes systemd.
# Environment: dir name nics network_setup image bundles disks cgroups (set by machine.sh).
set -euo pipefail

: "${dir:?}" "${name:?}" "${nics:?}" "${network_setup?}" "${image:?}" "${bundles:?}" "${disks:?}" "${cgroups:?}"
run=$dir/run
root=$dir/root

# /proc is still the host's, so this is the process's number there; the host needs it to hand over the network card.
read -r pid _ </proc/self/stat
exec 3<>"$run/go"
printf '%s\n' "$pid" >"$run/init.pid.new"
mv "$run/init.pid.new" "$run/init.pid"
if ! read -r -t 30 -u 3 _; then
  echo "whoever started $name went away before it had a network" >&2
  exit 1
fi
exec 3<&-

printf '%s' "$name" >/proc/sys/kernel/hostname
ip link set dev lo up
while read -r nic _ address _; do ip address add "$address" dev "$nic"; done < <(tr ';' '\n' <<<"$nics")
if [[ -n $network_setup ]]; then "$network_setup" "$dir"; fi
while read -r nic _ _ _ gateway; do
  ip link set dev "$nic" up
  if [[ -n $gateway ]]; then ip route add default via "$gateway"; fi
done < <(tr ';' '\n' <<<"$nics")
printf 1 >/proc/sys/net/ipv4/ip_forward
if [[ -e /proc/sys/net/bridge/bridge-nf-call-iptables ]]; then printf 1 >/proc/sys/net/bridge/bridge-nf-call-iptables; fi

mount -t overlay -o "lowerdir=$image/rootfs,upperdir=$dir/upper,workdir=$dir/work" gourmetgram "$root"
for entry in $disks; do
  mkdir -p "$root${entry#*:}"
  mount --bind "$dir/disk/${entry%%:*}" "$root${entry#*:}"
done
mount --bind "$bundles" "$root/opt/gourmetgram/bundles"
mount -o remount,bind,ro "$root/opt/gourmetgram/bundles"
if [[ -d $image/containerd ]]; then
  # Where the links in the machine's own store point.
  mount --bind "$image/containerd" "$root/opt/gourmetgram/containerd"
  mount -o remount,bind,ro "$root/opt/gourmetgram/containerd"
fi

mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
# Kernel settings that are not the machine's own stay as the host has them; the network's are its own. kubelet insists on
# three global ones, so it finds files of its own there with the values it wants.
mount --bind "$root/proc/sys" "$root/proc/sys"
mount --bind "$root/proc/sys/net" "$root/proc/sys/net"
for setting in kernel.panic kernel.panic_on_oops vm.overcommit_memory; do
  mount --bind "$dir/proc/$setting" "$root/proc/sys/${setting/.//}"
done
mount -o remount,bind,ro "$root/proc/sys"
if [[ -e $root/proc/sysrq-trigger ]]; then
  mount --bind "$root/proc/sysrq-trigger" "$root/proc/sysrq-trigger"
  mount -o remount,bind,ro "$root/proc/sysrq-trigger"
fi
mount --bind "$dir/proc/meminfo" "$root/proc/meminfo"

# Read-only by mount, not by file system: privileged pods of the same network namespace may still mount it writable.
mount -t sysfs -o nosuid,nodev,noexec sysfs "$root/sys"
if [[ $cgroups == "unified " ]]; then
  mount -t cgroup2 -o nosuid,nodev,noexec,nsdelegate cgroup2 "$root/sys/fs/cgroup"
else
  mount -t tmpfs -o mode=755,nosuid,nodev,noexec,size=1m cgroups "$root/sys/fs/cgroup"
  for controllers in $cgroups; do
    folder=$root/sys/fs/cgroup/${controllers#name=}
    mkdir "$folder"
    options=$controllers
    if [[ $controllers == name=* ]]; then options=none,$controllers; fi
    mount -t cgroup -o "nosuid,nodev,noexec,$options" cgroup "$folder"
    if [[ $controllers == *,* ]]; then
      for controller in ${controllers//,/ }; do ln -s "$controllers" "$root/sys/fs/cgroup/$controller"; done
    fi
  done
  mount -o remount,ro "$root/sys/fs/cgroup"
fi
mount -o remount,bind,ro "$root/sys"

mount -t tmpfs -o mode=755,nosuid,size=4m dev "$root/dev"
mkdir -p "$root"/dev/{pts,shm,net,mqueue}
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5,nosuid,noexec devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777,nosuid,nodev shm "$root/dev/shm"
mount -t mqueue -o nosuid,nodev,noexec mqueue "$root/dev/mqueue"
for device in null zero full random urandom tty kmsg fuse net/tun; do
  if [[ -e /dev/$device ]]; then
    : >"$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
  fi
done
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
ln -s /proc/self/fd/0 "$root/dev/stdin"
ln -s /proc/self/fd/1 "$root/dev/stdout"
ln -s /proc/self/fd/2 "$root/dev/stderr"

mount -t tmpfs -o mode=755,nosuid,nodev run "$root/run"
mkdir "$root/run/lock" "$root/run/host"

cd "$root"
pivot_root . run/host
umount -l /run/host
rmdir /run/host
# Volume plugins and pods with mount propagation need the root to be shared inside; nothing reaches the host.
mount --make-rshared /
exec env -i container=gourmetgram PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
  /lib/systemd/systemd --log-target=journal
