#!/bin/sh
# Removes from the volume what no tag refers to any more, before the registry starts: never beside somebody who writes.
# Only when it was asked for (REQUEST, set by the nightly clean-up): an unplanned restart in the middle of a push must not
# take the layers of an image whose manifest is still on its way.
# In: REQUEST, any text that differs from the last one, may be empty; CONFIG, the registry's configuration; STORE, its volume.
set -eu

done_file="$STORE/.collected"
if [ -z "$REQUEST" ] || [ "$REQUEST" = "$(cat "$done_file" 2>/dev/null)" ]; then
  echo "nothing asked for"
  exit 0
fi
# A registry nothing was ever pushed to has no such folder, and the command fails without it.
if [ -d "$STORE/docker/registry/v2/repositories" ]; then
  before=$(du -sm "$STORE" | cut -f1)
  # Whatever it meets, the images that are there must be served: a failed clean-up is tried again the next night.
  if registry garbage-collect --delete-untagged "$CONFIG" >/tmp/collected 2>&1; then
    echo "collected: $before MB before, $(du -sm "$STORE" | cut -f1) MB after"
  else
    tail -n 20 /tmp/collected >&2
    exit 0
  fi
fi
printf %s "$REQUEST" >"$done_file"
