#!/bin/sh
# Runs before Redis is installed: the upstream image's user.
set -eu
groupadd --system --gid 999 redis
useradd --system --uid 999 --gid 999 --no-create-home --home-dir /data --shell /bin/sh redis
