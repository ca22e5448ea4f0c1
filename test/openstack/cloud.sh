#!/usr/bin/env bash
# The test cloud: a real OpenStack on loopback.
#   cloud.sh up [--fresh] [--machines] [--token-seconds N]
#   cloud.sh down [--machines] | status | wipe
# `up` does what is missing: it may be run at any time. The data stay until `wipe` or `up --fresh`; machines end with the cloud.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=settings.sh
. "$HERE/settings.sh"
# shellcheck source-path=SCRIPTDIR source=../../infra/local/scripts/base.sh
. "$HERE/../../infra/local/scripts/base.sh"
for part in processes packages configure schema services/database services/messages services/apis services/faults services/machines; do
  # shellcheck source=/dev/null
  . "$HERE/$part.sh"
done

began=$(date +%s%N)
last=$began
# phase WHAT: tells how long the part took that ends here.
phase() {
  local now
  now=$(date +%s%N)
  printf '%7.1f s  %s\n' "$(((now - last) / 100000000))e-1" "$1" | tee -a "$LOG/timings" >&2
  last=$now
}

up() {
  mkdir -p "$ETC" "$RUN" "$LOG" "$CACHE"
  : >"$LOG/timings"
  [[ $EUID == 0 ]] || fail "the test cloud needs root"
  install_everything
  if [[ -n $fresh ]]; then
    stop_all
    rm -rf "$DATA"
  fi
  if whole; then
    [[ $(cat "$RUN/token-seconds") == "$TOKEN_SECONDS" ]] || change_token_seconds
    phase "is up already"
  else
    bring_up
  fi
  if [[ -n $machines ]]; then start_machines; fi
  printf 'export OS_CLIENT_CONFIG_FILE=%s  # openstack, faulty, user, admin\n' "$CLOUDS"
}

bring_up() {
  local port
  stop_all
  for port in "${PORTS[@]}"; do
    if listens "$port"; then fail "port $port of 127.0.0.1 is taken by a process that is not this cloud's"; fi
  done
  prepare_data
  configure
  configure_clients
  rm -rf "$LIB"
  cp -r "$HERE/python" "$LIB"
  cp -r "$HERE/faults" "$LIB/"
  start_everything
  phase "UP, $(((last - began) / 1000000000)) s in all"
}

start_everything() {
  local since
  if [[ -n $INITIAL ]]; then create_database; fi
  start_messages
  start_database
  phase "database answers"
  if [[ -n $INITIAL ]]; then
    migrate
    bootstrap_identity
  fi
  start_identity
  start_placement
  wait_http keystone 5000
  phase "keystone answers"
  start_image
  wait_until rabbitmq 120 "does not listen on 5672" listens 5672
  start_network
  if [[ -n $INITIAL ]]; then
    run_admin catalog.py "$(cat "$DATA/password")"
    phase "catalog and service users"
  fi
  since=$(date +%s)
  start_compute
  start_reservation
  wait_http placement 8778
  wait_http glance-api 9292
  wait_http neutron-server 9696
  wait_http nova-api 8774
  wait_http blazar-api 1234
  start_faults
  phase "all APIs answer"
  wait_computes "$since"
  phase "compute hosts are known"
  if [[ -n $INITIAL ]]; then
    run_admin contents.py "$(cat "$DATA/password")" "$DATA/credential"
    configure_clients
    phase "contents"
  fi
  : >"$DATA/.ready"
  printf '%s\n' "$TOKEN_SECONDS" >"$RUN/token-seconds"
  if [[ -n $INITIAL ]]; then save_snapshot; fi
}

# Every service that should run does.
whole() {
  local name
  [[ -e $DATA/.ready && -e $RUN/token-seconds ]] || return 1
  for name in "${SERVICES[@]}"; do alive "$name" || return 1; done
}

change_token_seconds() {
  configure
  reload_identity
  printf '%s\n' "$TOKEN_SECONDS" >"$RUN/token-seconds"
  phase "tokens live $TOKEN_SECONDS s"
}

stop_all() {
  local name others=()
  stop_machines
  while read -r name; do
    case $name in watcher | mariadb | rabbitmq | epmd) ;; *) others+=("$name") ;; esac
  done < <(services)
  stop 4 "${others[@]}"
  stop 15 rabbitmq mariadb
  stop 3 epmd
  rm -f "$RUN"/*.sock "$RUN"/*own-pid "$RUN"/*mnesia-pid "$RUN/token-seconds"
}

down() {
  if [[ ! -d $RUN ]]; then return 0; fi
  if [[ -n $machines ]]; then stop_machines; else stop_all; fi
  phase "down"
}

status() {
  local name state=0 pid total=0 kib
  for name in "${SERVICES[@]}"; do
    if alive "$name"; then
      read -r pid _ <"$RUN/$name.pid"
      kib=$(ps -o pss= --sid "$pid" 2>/dev/null | awk '{s += $1} END {print s + 0}')
      total=$((total + kib))
      printf '%-22s %6d MiB\n' "$name" $((kib / 1024))
    else
      printf '%-22s not running\n' "$name"
      state=1
    fi
  done
  printf '%-22s %6d MiB\n' "all" $((total / 1024))
  if alive watcher; then list_machines; else printf 'machines: none, as --machines was not asked for\n'; fi
  printf 'export OS_CLIENT_CONFIG_FILE=%s  # openstack, faulty, user, admin\n' "$CLOUDS"
  return $state
}

fresh='' machines='' TOKEN_SECONDS=${TESTCLOUD_TOKEN_SECONDS:-86400}
command=${1:-}
if (($# > 0)); then shift; fi
while (($# > 0)); do
  case $1 in
    --fresh) fresh=yes ;;
    --machines) machines=yes ;;
    --token-seconds)
      TOKEN_SECONDS=${2:-}
      [[ $TOKEN_SECONDS =~ ^[1-9][0-9]*$ ]] || fail "--token-seconds wants a number"
      shift
      ;;
    *) fail "unknown option $1" ;;
  esac
  shift
done

case $command in
  up | down | wipe)
    lock_folder "$BASE"
    ;;&
  up) up ;;
  down) down ;;
  status) status ;;
  wipe)
    machines=''
    down
    rm -rf "$DATA"
    ;;
  *) fail "usage: cloud.sh up [--fresh] [--machines] [--token-seconds N] | down [--machines] | status | wipe" ;;
esac
