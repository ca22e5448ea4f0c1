#!/bin/sh
# Runs <work>/script.sh inside the root file system <root>. Called in a mount namespace of its own, so that nothing
# mounted here outlives it. Usage: runInside.sh <root> <work>
set -eu
root=$1
work=$2

mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null zero full random urandom; do
  touch "$root/dev/$device"
  mount --bind "/dev/$device" "$root/dev/$device"
done
ln -s /proc/self/fd "$root/dev/fd"
mkdir -m 1777 "$root/dev/shm"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mkdir -m 1777 "$root/run/lock"
mkdir "$root/run/build"
cp "$work"/* "$root/run/build/"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
if [ -s "$work/resolv.conf" ]; then
  [ -e "$root/etc/resolv.conf" ] || touch "$root/etc/resolv.conf"
  mount --bind "$work/resolv.conf" "$root/etc/resolv.conf"
fi
# Services must not be started by the packages' scripts.
printf '#!/bin/sh\nexit 101\n' > "$root/run/build/policy-rc.d"
chmod 755 "$root/run/build/policy-rc.d"

for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_TRUSTED_HOST PIP_DEFAULT_TIMEOUT; do
  eval "value=\${$name:-}"
  [ -z "$value" ] || set -- "$@" "$name=$value"
done
shift 2
if [ -s "$work/ca.crt" ]; then
  set -- "$@" PIP_CERT=/run/build/ca.crt
fi
exec chroot "$root" env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp LC_ALL=C.UTF-8 \
  DEBIAN_FRONTEND=noninteractive POLICYRCD=/run/build/policy-rc.d APT_CONFIG=/run/build/apt.conf \
  PIP_CONFIG_FILE=/run/build/pip.conf PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore "$@" \
  /bin/sh /run/build/script.sh
