#!/bin/sh
# Starts BuildKit's daemon in the mode of this cluster. In: MODE, rootless | root; SOCKET, path of its local socket; the
# rest of the command line as arguments.
set -eu

if [ "$MODE" = rootless ]; then
  # Root of a user namespace of its own, which is nobody on the node. Builds share its process namespace, because a new
  # /proc cannot be mounted inside a pod, and the pod's network.
  exec rootlesskit --net=host --state-dir="$XDG_RUNTIME_DIR/rootlesskit" \
    buildkitd --addr "unix://$SOCKET" --oci-worker-no-process-sandbox "$@"
fi
# Root of the pod with the right to mount, not privileged: it makes the pod's own cgroups writable, for runc makes one per step.
for folder in /sys/fs/cgroup /sys/fs/cgroup/*/; do
  if mountpoint -q "$folder"; then mount -o remount,rw,bind "$folder"; fi
done
mkdir -p "$(dirname "$SOCKET")"
exec buildkitd --rootless --addr "unix://$SOCKET" --oci-worker-no-process-sandbox "$@"
