#!/bin/sh
# Interface of the upstream image: arguments that do not start with `minio` are arguments of minio.
set -eu
if [ "${1:-}" != minio ]; then
  set -- minio "$@"
fi
exec "$@"
