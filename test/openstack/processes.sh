# shellcheck shell=bash
# Starting and ending the cloud's processes. Sourced, never run; needs settings.sh and the project's base.sh.
#
# A running service has <run>/NAME.pid, "pid start-time": both together name one process for ever.

# start NAME COMMAND...
start() {
  local name=$1 pid
  shift
  (
    cd "$DATA/home" || exit
    # Not the lock of the caller.
    exec 9>&-
    exec setsid "$@"
  ) >"$LOG/$name.out" 2>&1 </dev/null &
  pid=$!
  printf '%s %s\n' "$pid" "$(start_time "$pid" || true)" >"$RUN/$name.pid"
}

# same PID START: the number is still that process's, which may be dead and waited for by nobody.
same() { [[ -n $2 && $(start_time "$1") == "$2" ]]; }

# alive NAME
alive() {
  local pid start
  [[ -e $RUN/$1.pid ]] || return 1
  read -r pid start <"$RUN/$1.pid"
  same "$pid" "$start" && ! grep -q '^State:.Z' "/proc/$pid/status" 2>/dev/null
}

services() {
  local file
  for file in "$RUN"/*.pid; do
    if [[ -e $file ]]; then basename "$file" .pid; fi
  done
}

# wait_until NAME SECONDS WHAT COMMAND...: until the command succeeds; fails when the service NAME has died.
wait_until() {
  local name=$1 end=$((SECONDS + $2)) what=$3
  shift 3
  until "$@" >/dev/null 2>&1; do
    alive "$name" || fail "$name died: see $LOG/$name.out and $LOG"
    ((SECONDS < end)) || fail "$name $what: see $LOG/$name.out and $LOG"
    sleep 0.2
  done
}

# listens PORT
listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# wait_http NAME PORT: uwsgi listens long before its application is loaded.
wait_http() { wait_until "$1" 180 "does not answer on port $2" curl -s -o /dev/null -m 10 "http://127.0.0.1:$2/"; }

# stop SECONDS NAME...: asks all, waits for each, then ends by force what is left of it.
stop() {
  local seconds=$1 name pid start other tries
  shift
  for name; do
    if alive "$name"; then
      read -r pid _ <"$RUN/$name.pid"
      kill -TERM "$pid" 2>/dev/null || true
    fi
  done
  for name; do
    [[ -e $RUN/$name.pid ]] || continue
    for ((tries = 0; tries < seconds * 10; tries++)); do
      alive "$name" || break
      sleep 0.1
    done
    read -r pid start <"$RUN/$name.pid"
    # Each leads its own session. Its number is not given to another process while a member of the session lives; when the
    # leader is gone and the number is a stranger's, that session is not ours.
    if same "$pid" "$start" || [[ ! -e /proc/$pid ]]; then
      for other in $(ps -o pid= --sid "$pid" 2>/dev/null); do kill -KILL "$other" 2>/dev/null || true; done
    fi
    rm -f "$RUN/$name.pid"
  done
}
