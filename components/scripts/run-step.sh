#!/bin/bash
# Runs one step on a machine: reads the step's script from stdin, runs it detached from the SSH session, and follows it.
# A step whose very script finished before is not run again; one that still runs is followed, not started twice, so a
# cut session or a killed `up` is continued by the next. Lines that begin with "> " are progress and go to the user;
# everything goes to the step's log on the machine.
# Usage: bash -c "$(cat run-step.sh)" step NAME ACTION RERUN      ACTION: apply | delete, RERUN: once | always
set -euo pipefail
name=$1 action=$2 rerun=$3
keep=${STEP_ROOT:-}/var/lib/gourmetgram/steps/$name # survives a reboot: the mark that it is done, the log
live=${STEP_ROOT:-}/run/gourmetgram/steps/$name     # does not: the script itself, which holds secrets
umask 077
mkdir -p "$keep" "$live"
cat >"$live/incoming.$$"
hash=$(sha256sum <"$live/incoming.$$" | cut -d' ' -f1)

# Two sessions for one step (a killed `up` and its successor) take turns here, never both start it.
exec 9>"$live/lock"
flock 9
running() { [ -s "$live/pid" ] && kill -0 "$(cat "$live/pid")" 2>/dev/null; }

if [ "$rerun" = once ] && [ "$(cat "$keep/done" 2>/dev/null)" = "$hash" ]; then
  rm -f "$live/incoming.$$"
  cat "$keep/result" 2>/dev/null || true
  exit 0
fi
if running && [ "$(cat "$live/hash" 2>/dev/null)" = "$hash" ]; then
  rm -f "$live/incoming.$$"
else
  if running; then
    # Another version of the same step: let it finish, for a half-done kubeadm is worse than a wait.
    timeout 600 tail -s 0.2 --pid="$(cat "$live/pid")" -f /dev/null || true
  fi
  mv "$live/incoming.$$" "$live/script"
  printf %s "$hash" >"$live/hash"
  rm -f "$live/code" "$keep/done" "$keep/result"
  : >"$keep/log"
  STEP_RESULT=$keep/result STEP_ACTION=$action setsid bash -c '
    bash "$1/script" </dev/null >>"$2/log" 2>&1 9>&-
    code=$?
    if [ $code = 0 ]; then cp "$1/hash" "$2/done"; rm -f "$1/script"; fi
    echo $code >"$1/code.new" && mv "$1/code.new" "$1/code"
  ' runner "$live" "$keep" </dev/null >/dev/null 2>&1 9>&- &
  echo $! >"$live/pid"
fi
flock -u 9
exec 9>&-

pid=$(cat "$live/pid")
tail -s 0.2 -n +1 --pid="$pid" -f "$keep/log" 2>/dev/null | grep --line-buffered '^> ' || true
while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
code=$(cat "$live/code" 2>/dev/null || echo 137)
if [ "$code" != 0 ]; then
  {
    echo "step $name failed on $(hostname) with exit code $code; the last lines of its log ($keep/log):"
    tail -n 30 "$keep/log"
    if df --output=pcent / | tail -n 1 | grep -q '100%'; then echo "the disk of $(hostname) is full"; fi
    if [ "$code" = 137 ]; then echo "it was killed: out of memory, or the machine was stopped"; fi
  } >&2
  exit "$code"
fi
cat "$keep/result" 2>/dev/null || true
