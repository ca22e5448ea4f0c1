#!/bin/sh
# Runs after the Python packages are installed: an unprivileged user, and nothing that is only for development.
set -eu
groupadd --gid 1000 mlflow
useradd --uid 1000 --gid 1000 --home-dir /home/mlflow --create-home --shell /bin/bash mlflow
site=$(echo /opt/python/lib/python3*/site-packages)
find "$site" -type d \( -name tests -o -name test \) -path '*/site-packages/*' \
  \( -path '*/pandas/*' -o -path '*/numpy/*' -o -path '*/scipy/*' -o -path '*/sklearn/*' -o -path '*/matplotlib/*' -o -path '*/pyarrow/*' \) \
  -prune -exec rm -rf {} +
rm -rf "$site"/pyarrow/include "$site"/numpy/_core/include "$site"/pyarrow/src
find "$site" -name '*.js.map' -delete
