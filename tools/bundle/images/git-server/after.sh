#!/bin/sh
# Runs after nginx, fcgiwrap and git are installed: the user that serves the repositories.
set -eu
groupadd --gid 1000 git
useradd --uid 1000 --gid 1000 --home-dir /home/git --create-home --shell /bin/sh git
rm -rf /var/www/html /etc/nginx/sites-enabled/default
test -x /usr/sbin/nginx
test -x /usr/sbin/fcgiwrap
test -x /usr/lib/git-core/git-http-backend
