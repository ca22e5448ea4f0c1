#!/bin/sh
# Checks the signature of a commit or of an annotated tag for Argo CD, which reads what gpg says on standard output.
# Usage: git-verify-wrapper.sh <revision>
if [ -z "${1:-}" ]; then
  echo "usage: git-verify-wrapper.sh <revision>" >&2
  exit 1
fi
revision=$1
kind=commit
if git describe --exact-match "$revision" > /dev/null 2>&1; then
  kind=tag
fi
output=$(git "verify-$kind" "$revision" 2>&1)
status=$?
if [ "$status" -gt 1 ]; then
  printf '%s\n' "$output" >&2
  exit "$status"
fi
# A tag without a signature is not an error of git.
case $kind:$output in
  tag:error:*) output= ;;
esac
printf '%s\n' "$output"
