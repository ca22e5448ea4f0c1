#!/bin/sh
# Makes one login role and its database, and sets the role's password, whatever is there already.
# In: PGHOST, PGUSER, PGPASSWORD of an administrator; DATABASE_NAME, DATABASE_OWNER, DATABASE_PASSWORD.
set -eu

attempt=0
until pg_isready --quiet --timeout=1; do
  attempt=$((attempt + 1))
  if [ "$attempt" -ge 60 ]; then
    echo "PostgreSQL at $PGHOST does not accept connections after $attempt attempts" >&2
    exit 1
  fi
  sleep 1
done
exec psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --dbname=postgres --file="$(dirname "$0")/postgres-database.sql"
