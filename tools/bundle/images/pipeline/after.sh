#!/bin/sh
# Runs after the Python packages are installed: an unprivileged user.
set -eu
groupadd --gid 1000 pipeline
useradd --uid 1000 --gid 1000 --home-dir /home/pipeline --create-home --shell /bin/bash pipeline
rm -rf /opt/python/lib/python3*/site-packages/pip
/opt/python/bin/python3 -c 'import mlflow, requests'
