#!/bin/sh
# Runs before PostgreSQL's packages are installed: the upstream image's user, and no default cluster.
set -eu
groupadd --system --gid 999 postgres
useradd --system --uid 999 --gid 999 --home-dir /var/lib/postgresql --shell /bin/bash postgres
mkdir -p /etc/postgresql-common
echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.conf
