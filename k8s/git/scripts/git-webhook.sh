#!/bin/sh
# Sends a push event as GitHub does: git-webhook.sh <before> <after> <ref>, run in a bare repository.
# In: the files webhook-url and base-url beside this script; WEBHOOK_SECRET_FILE, the key of the signature, 64 bytes at most.
set -eu
folder=$(dirname "$0")
secret=${WEBHOOK_SECRET_FILE:-/run/secrets/webhook/secret}
zero=0000000000000000000000000000000000000000
before=$1 after=$2 ref=$3
name=$(basename "$(pwd)" .git)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# HMAC-SHA256 of a file, hexadecimal (RFC 2104). openssl would take the key as an argument, for all to read; printf and
# arithmetic are the shell's own.
signature() {
  inner='' outer='' count=0
  for byte in $(od -An -v -tx1 "$secret"); do
    inner=$inner$(printf '\\0%03o' $((0x$byte ^ 0x36)))
    outer=$outer$(printf '\\0%03o' $((0x$byte ^ 0x5c)))
    count=$((count + 1))
  done
  if [ "$count" -eq 0 ] || [ "$count" -gt 64 ]; then
    echo "webhook: the secret has $count bytes, 1 to 64 are allowed" >&2
    return 1
  fi
  while [ "$count" -lt 64 ]; do
    inner="$inner\\0066" outer="$outer\\0134"
    count=$((count + 1))
  done
  { printf '%b' "$inner" && cat "$1"; } | openssl dgst -sha256 -binary >"$work/inner"
  { printf '%b' "$outer" && cat "$work/inner"; } | openssl dgst -sha256 -r | cut -d' ' -f1
}

message=''
if [ "$after" != "$zero" ]; then message=$(git log -1 --format=%B "$after"); fi
jq --null-input --compact-output \
  --arg ref "$ref" --arg before "$before" --arg after "$after" --arg zero "$zero" --arg message "$message" \
  --arg name "$name" --arg url "$(cat "$folder/base-url")/$name.git" --arg pusher "${REMOTE_USER:-git}" \
  --arg branch "$(git symbolic-ref --short HEAD)" '
  { ref: $ref, before: $before, after: $after,
    created: ($before == $zero), deleted: ($after == $zero), forced: false,
    head_commit: (if $after == $zero then null else { id: $after, message: $message } end), commits: [],
    repository: { name: $name, full_name: "gourmetgram/\($name)", clone_url: $url, html_url: $url, default_branch: $branch },
    pusher: { name: $pusher }, sender: { login: $pusher } }' >"$work/body"
# Not inside the echo, where its failure would be overlooked.
signed=$(signature "$work/body")
{
  echo "Content-Type: application/json"
  echo "X-GitHub-Event: push"
  echo "X-GitHub-Delivery: $(cat /proc/sys/kernel/random/uuid)"
  echo "X-Hub-Signature-256: sha256=$signed"
} >"$work/headers"

# Half a minute in all: whoever listens may be starting just now.
if curl --silent --show-error --fail --output /dev/null --max-time 10 \
  --retry 5 --retry-all-errors --retry-connrefused \
  --header "@$work/headers" --data-binary "@$work/body" "$(cat "$folder/webhook-url")"; then
  echo "webhook: $ref of $name at $after delivered"
else
  echo "webhook: nobody took $ref of $name at $after" >&2
fi
