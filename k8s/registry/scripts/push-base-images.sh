#!/bin/sh
# Pushes the images that builds stand on into the registry; layers that are there already are not sent again.
# In: IMAGES, lines "<folder with an OCI layout> <reference>"; SSL_CERT_FILE; the login in the file LOGIN.
set -eu

export DOCKER_CONFIG=/tmp/login
mkdir -p "$DOCKER_CONFIG"
cp "$LOGIN" "$DOCKER_CONFIG/config.json"

echo "$IMAGES" | while read -r folder reference; do
  [ -n "$folder" ] || continue
  attempt=0
  # The Service has an address before every node's rules know it.
  until crane push "$folder" "$reference" >/tmp/pushed 2>&1; do
    attempt=$((attempt + 1))
    if [ "$attempt" -ge 10 ]; then
      cat /tmp/pushed >&2
      exit 1
    fi
    sleep 2
  done
  echo "$reference: $(crane digest "$reference")"
done
