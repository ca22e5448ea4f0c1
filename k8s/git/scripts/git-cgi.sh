#!/bin/sh
# Runs Git's HTTP program for the web server, some at a time.
set -eu
# A socket that the last start left behind would be in the way.
rm -f /run/git/fastcgi.sock
# Process 1 of a container gets no signal it does not ask for, and fcgiwrap asks for none: this shell passes it on.
fcgiwrap -f -c 4 -s unix:/run/git/fastcgi.sock &
server=$!
trap 'kill "$server"' TERM INT
wait "$server"
