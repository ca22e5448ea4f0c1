#!/bin/bash
# Interface of docker.io/library/postgres: POSTGRES_USER, POSTGRES_PASSWORD, POSTGRES_DB and POSTGRES_INITDB_ARGS, each
# also as <NAME>_FILE; POSTGRES_HOST_AUTH_METHOD; PGDATA; /docker-entrypoint-initdb.d/*.{sh,sql,sql.gz}. Creates the
# database on first start, then becomes the server.
set -Eeuo pipefail

file_env() {
  local name=$1 file_name="${1}_FILE"
  if [ -n "${!name:-}" ] && [ -n "${!file_name:-}" ]; then
    echo "error: both $name and $file_name are set (they exclude each other)" >&2
    exit 1
  fi
  local value=${!name:-${2:-}}
  if [ -n "${!file_name:-}" ]; then
    value=$(cat "${!file_name}")
  fi
  export "$name"="$value"
  unset "$file_name"
}

create_database() {
  file_env POSTGRES_PASSWORD
  file_env POSTGRES_USER postgres
  file_env POSTGRES_DB "$POSTGRES_USER"
  file_env POSTGRES_INITDB_ARGS
  local method=${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}
  if [ -z "$POSTGRES_PASSWORD" ] && [ "$method" != trust ]; then
    echo "error: the database is not initialized and POSTGRES_PASSWORD is empty: set it, or POSTGRES_PASSWORD_FILE" >&2
    exit 1
  fi

  # While .unfinished exists the server has never run on this folder: a killed first start is begun again from nothing.
  local draft="$PGDATA/.unfinished"
  if [ -d "$draft" ]; then
    find "$PGDATA" -mindepth 1 -maxdepth 1 ! -name lost+found -exec rm -rf {} +
  fi
  mkdir -m 0700 "$draft"
  # The password goes by a pipe: never in an argument, never on a disk.
  eval 'initdb --pgdata="$draft" --username="$POSTGRES_USER" --pwfile=<(printf "%s\n" "$POSTGRES_PASSWORD") --auth-local=trust --auth-host=scram-sha-256 --encoding=UTF8 '"$POSTGRES_INITDB_ARGS"
  printf '\nhost all all all %s\n' "$method" >> "$draft/pg_hba.conf"

  # Reachable by the local socket only until it is ready.
  pg_ctl --pgdata="$draft" --options="-c listen_addresses='' -p 5432" --wait start
  if [ "$POSTGRES_DB" != postgres ]; then
    psql -v ON_ERROR_STOP=1 --no-psqlrc --username "$POSTGRES_USER" --dbname postgres --set db="$POSTGRES_DB" \
      <<<'CREATE DATABASE :"db";'
  fi
  local sql=(psql -v ON_ERROR_STOP=1 --no-psqlrc --username "$POSTGRES_USER" --dbname "$POSTGRES_DB")
  for file in /docker-entrypoint-initdb.d/*; do
    case $file in
      *.sh) bash "$file" ;;
      *.sql) "${sql[@]}" --file "$file" ;;
      *.sql.gz) gunzip -c "$file" | "${sql[@]}" ;;
    esac
  done
  pg_ctl --pgdata="$draft" --mode=fast --wait stop
  mv "$draft"/* "$PGDATA"/
  rmdir "$draft"
  sync
  echo "PostgreSQL is initialized: database $POSTGRES_DB, user $POSTGRES_USER"
}

# `postgres -c ...`, and also bare options, mean the server.
if [ "${1:0:1}" = - ]; then
  set -- postgres "$@"
fi
if [ "$1" != postgres ]; then
  exec "$@"
fi
for argument in "$@"; do
  case $argument in
    -\? | --help | --describe-config | -V | --version) exec "$@" ;;
  esac
done

mkdir -p "$PGDATA"
if [ "$(id -u)" = 0 ]; then
  chown 999:999 "$PGDATA" /var/run/postgresql
  exec setpriv --reuid=999 --regid=999 --clear-groups -- "${BASH_SOURCE[0]}" "$@"
fi
# Volumes whose files all belong to a group (fsGroup) arrive with wider modes than the server accepts.
chmod 0700 "$PGDATA" || true
if [ -d "$PGDATA/.unfinished" ] || [ ! -s "$PGDATA/PG_VERSION" ]; then
  create_database
fi
unset POSTGRES_PASSWORD
exec "$@"
