#!/bin/sh
# Writes the node's CNI configuration from the subnet flannel leased for it, and again when that changes.
set -eu
trap 'exit 0' TERM INT
target=/etc/cni/net.d/10-gourmetgram.conflist
while :; do
  if [ -s /run/flannel/subnet.env ]; then
    . /run/flannel/subnet.env
    cat >"$target.new" <<EOF
{
  "cniVersion": "0.4.0",
  "name": "gourmetgram",
  "plugins": [
    {
      "type": "bridge",
      "bridge": "cni0",
      "isGateway": true,
      "hairpinMode": true,
      "ipMasq": false,
      "mtu": $FLANNEL_MTU,
      "ipam": {
        "type": "host-local",
        "ranges": [[{ "subnet": "$(echo "$FLANNEL_SUBNET" | sed 's/\.1\//.0\//')" }]],
        "routes": [{ "dst": "$FLANNEL_NETWORK" }, { "dst": "0.0.0.0/0" }]
      }
    },
    { "type": "portmap", "capabilities": { "portMappings": true } }
  ]
}
EOF
    if cmp -s "$target.new" "$target"; then rm "$target.new"; else mv "$target.new" "$target"; fi
    sleep 30 &
  else
    sleep 0.2 &
  fi
  wait $!
done
