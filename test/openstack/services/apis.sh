# shellcheck shell=bash
# OpenStack's own processes. Sourced, never run.

# The listening socket closes after each answer without saying so; clients that use the connection again would be reset.
UWSGI=(
  uwsgi_python3 --master --die-on-term --no-orphans --lazy-apps --enable-threads --thunder-lock --buffer-size 65535 --need-app
  --disable-logging --log-master --add-header "Connection: close" --listen 100 --socket-timeout 60 --processes 1
)
NOVA=(--config-file "$ETC/nova.conf" --config-file "$ETC/nova-db.conf")

# start_python NAME MODULE ARGUMENT...
start_python() {
  local name=$1
  shift
  start "$name" env PYTHONPATH="$LIB:$BLAZAR_NOVA" /usr/bin/python3 "$LIB/launch.py" "$@"
}

# One process: its cache is its own.
start_identity() {
  start keystone env OS_KEYSTONE_CONFIG_FILES="$ETC/keystone.conf" "${UWSGI[@]}" --http-socket 127.0.0.1:5000 \
    --threads 8 --wsgi-file /usr/bin/keystone-wsgi-public
}

# Reads its configuration again, without refusing a connection meanwhile.
reload_identity() {
  local pid
  identity_starts=$(count_identity_starts)
  read -r pid _ <"$RUN/keystone.pid"
  kill -HUP "$pid"
  wait_until keystone 60 "does not come back" identity_reloaded
}

count_identity_starts() { grep -c '^WSGI app 0 .* ready in' "$LOG/keystone.out"; }
identity_reloaded() { (($(count_identity_starts) > identity_starts)); }

start_placement() {
  start placement env OS_PLACEMENT_CONFIG_DIR="$ETC/placement" "${UWSGI[@]}" --http-socket 127.0.0.1:8778 \
    --threads 4 --wsgi-file /usr/bin/placement-api
}

start_image() { start_python glance-api glance.cmd.api --config-file "$ETC/glance-api.conf"; }

start_network() { start_python neutron-server fakecloud.neutron_server --config-file "$ETC/neutron.conf"; }

# These ask keystone at start and end on a refusal: only once the service users exist.
start_compute() {
  local host
  start_python nova-conductor nova.cmd.conductor "${NOVA[@]}" --log-file nova-conductor.log
  start_python nova-api nova.cmd.api_os_compute "${NOVA[@]}" --log-file nova-api.log
  start_python nova-scheduler nova.cmd.scheduler "${NOVA[@]}" --log-file nova-scheduler.log
  for host in "${COMPUTES[@]}"; do
    start_python "nova-compute-$host" fakecloud.nova_compute --config-file "$ETC/nova.conf" \
      --config-file "$ETC/host-$host.conf" --log-file "nova-compute-$host.log"
  done
}

# wait_computes SINCE: until both hosts have reported after that moment (seconds since 1970) and the scheduler knows them.
wait_computes() {
  local host
  wait_until nova-conductor 180 "does not hear of the compute hosts" computes_up "$1"
  for host in "${COMPUTES[@]}"; do alive "nova-compute-$host" || fail "nova-compute-$host died: see $LOG"; done
}

computes_up() {
  local count
  count=$(sql -N -e "select count(*) from nova.services s join nova.compute_nodes c on c.host = s.host
    join nova_api.host_mappings m on m.host = s.host where s.\`binary\` = 'nova-compute' and s.deleted = 0 and c.deleted = 0
    and greatest(s.created_at, coalesce(s.updated_at, s.created_at)) >= from_unixtime($1)")
  [[ $count == "${#COMPUTES[@]}" ]]
}

# Its own command for the API ends at once: the server runs in a thread nobody waits for.
start_reservation() {
  start blazar-manager "$VENV/bin/blazar-manager" --config-file "$ETC/blazar.conf" --log-file blazar-manager.log
  start blazar-api env BLAZAR_CONFIG="$ETC/blazar.conf" "${UWSGI[@]}" --http-socket 127.0.0.1:1234 --threads 4 \
    --virtualenv "$VENV" --wsgi-file "$LIB/blazar_wsgi.py"
}
