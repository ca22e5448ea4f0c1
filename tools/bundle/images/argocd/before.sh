#!/bin/sh
# Runs before Argo CD's companions are installed: the upstream image's user.
set -eu
groupadd --gid 999 argocd
useradd --uid 999 --gid 999 --no-create-home --home-dir /home/argocd --shell /bin/sh argocd
