# shellcheck shell=bash
# A cloud from nothing: databases, keys, catalog, contents; and from the snapshot of such a cloud. Sourced, never run.

# Whatever a fresh cloud's databases depend on.
snapshot_path() {
  local key
  key=$({
    cat "$HERE"/python/{catalog,contents}.py "$HERE"/config/*.conf
    dpkg-query --show "${PACKAGES[@]}"
    printf '%s\n' "$BLAZAR_VERSION"
  } | sha256sum | cut -c1-12)
  printf '%s\n' "$CACHE/fresh-$key.tar.gz"
}

# Sets INITIAL when the databases have to be made.
# shellcheck disable=SC2034  # read by cloud.sh
prepare_data() {
  local snapshot
  snapshot=$(snapshot_path)
  INITIAL=''
  if [[ ! -e $DATA/.ready ]]; then
    rm -rf "$DATA"
    if [[ -s $snapshot ]]; then
      tar -C "$BASE" -xzf "$snapshot"
    else
      INITIAL=yes
      mkdir -p "$DATA"
      (umask 077 && od -An -N12 -tx1 /dev/urandom | tr -d ' \n' >"$DATA/password")
    fi
  fi
  mkdir -p "$DATA"/{mysql,rabbitmq,home,nova/instances,neutron,glance/images,glance/staging,glance/tasks} \
    "$DATA"/keystone/{fernet,credential}
  chmod 700 "$DATA"/keystone/*
}

# The three groups take 8 to 10 s each and meet in the processor only.
migrate() {
  local name jobs=()
  for name in keystone glance placement nova_api nova nova_cell0 neutron blazar; do
    sql -e "CREATE DATABASE $name CHARACTER SET utf8mb3"
  done
  migrate_small >"$LOG/migrate-small.log" 2>&1 &
  jobs+=($!)
  migrate_nova >"$LOG/migrate-nova.log" 2>&1 &
  jobs+=($!)
  manage neutron.db.migration.cli --config-file "$ETC/neutron.conf" upgrade heads >"$LOG/migrate-neutron.log" 2>&1 &
  jobs+=($!)
  for job in "${jobs[@]}"; do wait "$job" || fail "the databases cannot be made: see $LOG/migrate-*.log"; done
  phase "databases"
}

manage() { env PYTHONPATH="$LIB:$BLAZAR_NOVA" /usr/bin/python3 "$LIB/launch.py" "$@"; }
keystone_manage() { keystone-manage --config-file "$ETC/keystone.conf" "$@"; }

migrate_small() {
  keystone_manage db_sync &&
    placement-manage --config-file "$ETC/placement/placement.conf" db sync &&
    manage glance.cmd.manage --config-file "$ETC/glance-api.conf" db_sync &&
    "$VENV/bin/blazar-db-manage" --config-file "$ETC/blazar.conf" upgrade head
}

migrate_nova() {
  local nova=(manage nova.cmd.manage "${NOVA[@]}")
  local database="mysql+pymysql://root@localhost/%s?unix_socket=$RUN/mysql.sock&charset=utf8"
  # shellcheck disable=SC2059  # the format is above
  "${nova[@]}" api_db sync &&
    "${nova[@]}" cell_v2 map_cell0 --database_connection "$(printf "$database" nova_cell0)" &&
    "${nova[@]}" db sync &&
    "${nova[@]}" cell_v2 create_cell --name cell1 --transport-url rabbit://guest:guest@127.0.0.1:5672/ \
      --database_connection "$(printf "$database" nova)"
}

bootstrap_identity() {
  local url=http://127.0.0.1:5000/v3
  {
    keystone_manage fernet_setup --keystone-user root --keystone-group root
    keystone_manage credential_setup --keystone-user root --keystone-group root
    keystone_manage bootstrap --bootstrap-password "$(cat "$DATA/password")" --bootstrap-region-id RegionOne \
      --bootstrap-public-url $url --bootstrap-internal-url $url --bootstrap-admin-url $url
  } >"$LOG/keystone-setup.log" 2>&1 || fail "see $LOG/keystone-setup.log"
  phase "keystone: keys and administrator"
}

# run_admin PROGRAM ARGUMENT...: one of our Python programs against the cloud.
run_admin() {
  local program=$1
  shift
  env OS_CLIENT_CONFIG_FILE="$CLOUDS" HOME="$DATA/home" /usr/bin/python3 "$LIB/$program" "$@" >"$LOG/$program.log" 2>&1 ||
    fail "$program: see $LOG/$program.log"
}

# The database is frozen meanwhile, so the copy is that of a crash, which it knows how to read.
save_snapshot() {
  local snapshot pid scratch=$CACHE/snapshot.new
  snapshot=$(snapshot_path)
  rm -rf "$scratch"
  mkdir -p "$scratch/data"
  sql -e 'FLUSH ENGINE LOGS'
  read -r pid _ <"$RUN/mariadb.pid"
  kill -STOP "$pid"
  cp -a --sparse=always "$DATA/mysql" "$scratch/data/" || {
    kill -CONT "$pid"
    fail "the databases cannot be copied"
  }
  kill -CONT "$pid"
  cp -a "$DATA"/{keystone,glance,password,credential,.ready} "$scratch/data/"
  rm -f "$CACHE"/fresh-*.tar.gz
  (umask 077 && tar -C "$scratch" -czf "$snapshot.new" data)
  mv "$snapshot.new" "$snapshot"
  rm -rf "$scratch"
  phase "snapshot of the fresh cloud"
}
