#!/bin/sh
# Runs Git's HTTP program for the web server, some at a time.
set -eu
# A socket that the last start left behind would be in the way.
rm -f /run/git/fastcgi.sock
exec fcgiwrap -f -c 4 -s unix:/run/git/fastcgi.sock
