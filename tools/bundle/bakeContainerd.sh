#!/bin/sh
# Fills a containerd root folder with images, unpacked, by running the containerd of a root file system on it. Called in
# a mount and PID namespace of its own. Usage: bakeContainerd.sh <rootfs> <containerd root> <images folder>
set -eu
rootfs=$1
state=$2
images=$3

mount --bind "$rootfs" "$rootfs"
mount -o remount,bind,ro "$rootfs"
mount -t proc proc "$rootfs/proc"
mount -t sysfs -o ro sysfs "$rootfs/sys"
mount -t tmpfs -o mode=755 tmpfs "$rootfs/dev"
for device in null zero full random urandom; do
  touch "$rootfs/dev/$device"
  mount --bind "/dev/$device" "$rootfs/dev/$device"
done
mount -t tmpfs -o mode=755 tmpfs "$rootfs/run"
mount -t tmpfs -o mode=1777 tmpfs "$rootfs/tmp"
mount -t tmpfs -o mode=755 tmpfs "$rootfs/var/lib"
mkdir "$rootfs/var/lib/containerd" "$rootfs/run/images"
mount --bind "$state" "$rootfs/var/lib/containerd"
mount --bind "$images" "$rootfs/run/images"
# No CRI plugin: nothing may be started, labelled or collected while images are imported.
cat > "$rootfs/run/config.toml" <<'TOML'
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
oom_score = 0
[grpc]
  address = "/run/containerd/containerd.sock"
TOML
cat > "$rootfs/run/bake.sh" <<'BAKE'
set -eu
containerd --config /run/config.toml --log-level warn &
daemon=$!
i=0
until ctr version > /dev/null 2>&1; do
  i=$((i + 1))
  if [ "$i" -gt 150 ] || ! kill -0 "$daemon" 2> /dev/null; then
    echo "containerd did not start" >&2
    exit 1
  fi
  sleep 0.2
done
for image in /run/images/*.tar; do
  ctr --namespace k8s.io images import --snapshotter overlayfs "$image"
done
if ctr --namespace k8s.io images check --snapshotter overlayfs | tail -n +2 | grep -v ' complete .* true *$'; then
  echo "these images are not whole or not unpacked" >&2
  exit 1
fi
for name in $(ctr --namespace k8s.io images list --quiet); do
  # Preloaded images cannot be pulled again: the kubelet's garbage collection must leave them (containerd 1.7 and up).
  ctr --namespace k8s.io images label "$name" io.cri-containerd.pinned=pinned > /dev/null
done
kill "$daemon"
wait "$daemon" || true
BAKE
exec chroot "$rootfs" env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin /bin/sh /run/bake.sh
