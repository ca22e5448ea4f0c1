#!/bin/sh
# Runs after Python is installed: an unprivileged user for the programs that are built on this image.
set -eu
groupadd --gid 1000 app
useradd --uid 1000 --gid 1000 --home-dir /home/app --create-home --shell /bin/sh app
/opt/python/bin/pip --version
