#!/usr/bin/env bash
# Makes the test cloud's machine image, once, from the project's own: build.sh CACHE_FOLDER MACHINE_FOLDER
# Prints the image's folder: `rootfs/` with cloud-init in it, and `containerd`, a link to the project's.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
project=$(cd "$here/../../.." && pwd)
cache=$1 machine=$2

key=$({
  printf '%s\n' "$machine"
  stat --format=%i "$machine/rootfs"
  cat "$here/build.sh" "$here/setup.sh" "$here/cloud.cfg"
} | sha256sum | cut -c1-12)
image=$cache/image-$key

if [[ ! -d $image ]]; then
  scratch=$image.new
  rm -rf "$cache"/image-*.new
  mkdir -p "$scratch/inside"
  cp -a "$machine/rootfs" "$scratch/rootfs"
  cp "$here/setup.sh" "$scratch/inside/script.sh"
  cp "$here/cloud.cfg" "$scratch/inside/"
  cp /etc/resolv.conf "$scratch/inside/" 2>/dev/null || : >"$scratch/inside/resolv.conf"
  apt-config dump | grep -iE '^Acquire::https?::[^"]*Proxy[^"]* ".+";$' >"$scratch/inside/apt.conf" || true
  nice -n 10 unshare --mount --propagation private --pid --fork --kill-child \
    /bin/sh "$project/tools/bundle/runInside.sh" "$scratch/rootfs" "$scratch/inside" >"$scratch/log" 2>&1 || {
    tail -20 "$scratch/log" >&2
    exit 1
  }
  rm -rf "$scratch/inside"
  if [[ -d $machine/containerd ]]; then ln -s "$machine/containerd" "$scratch/containerd"; fi
  mv "$scratch" "$image"
fi
printf '%s\n' "$image"
