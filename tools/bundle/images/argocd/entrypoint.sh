#!/bin/sh
# Runs a command; as process 1 below tini, which takes up the processes that git leaves behind.
if [ "$$" = 1 ]; then
  exec tini -- "$@"
fi
exec "$@"
