# Hands the bundle on this machine to the other nodes, over their own network. The files are no secret, and each node verifies them.
# Settings: ADDRESS(of this machine on the nodes' network) PORT FOLDER(of the bundle)
# shellcheck shell=bash

# A machine image that brings the bundle brings it to all.
GG_BUNDLES=''
# shellcheck disable=SC1091
[ ! -f /etc/gourmetgram/machine.env ] || . /etc/gourmetgram/machine.env
if [ -n "$GG_BUNDLES" ] && [ -d "$GG_BUNDLES/$(basename "$FOLDER")" ]; then exit 0; fi

python=$(command -v python3) || {
  echo "python3 is missing, which hands the bundle to the other nodes: install it, or set cluster.bundleUrl"
  exit 1
}
cat >/etc/systemd/system/gourmetgram-bundle.service <<EOF
[Unit]
Description=Bundle of this environment for its nodes
After=network-online.target
[Service]
ExecStart=$python -m http.server $PORT --bind $ADDRESS --directory $(dirname "$FOLDER")
Restart=always
RestartSec=2
DynamicUser=yes
ProtectSystem=strict
ProtectHome=yes
[Install]
WantedBy=multi-user.target
EOF
systemctl daemon-reload
systemctl enable --quiet gourmetgram-bundle
systemctl restart gourmetgram-bundle
url=http://$ADDRESS:$PORT/$(basename "$FOLDER")/SHA256SUMS
for _ in $(seq 1 100); do
  # Not by curl: a plain machine is still getting that.
  if "$python" -c 'import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=2)' "$url" 2>/dev/null; then exit 0; fi
  sleep 0.2
done
echo "the bundle is not served at $url: $(systemctl status --no-pager --lines=3 gourmetgram-bundle | tail -n 3)"
exit 1
