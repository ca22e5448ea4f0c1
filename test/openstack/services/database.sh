# shellcheck shell=bash
# MariaDB on a socket. Sourced, never run.

sql() { mariadb --no-defaults --default-character-set=utf8 --socket="$RUN/mysql.sock" --user=root "$@"; }

create_database() {
  mariadb-install-db --no-defaults --user=root --auth-root-authentication-method=normal --skip-test-db \
    --skip-name-resolve --datadir="$DATA/mysql" >"$LOG/mariadb-install.log" 2>&1 || fail "see $LOG/mariadb-install.log"
}

# Durable enough for a test: what a power cut takes is built again.
start_database() {
  start mariadb mariadbd --no-defaults --user=root --datadir="$DATA/mysql" --socket="$RUN/mysql.sock" --skip-networking \
    --pid-file="$RUN/mysql.own-pid" --log-error="$LOG/mariadb.log" --skip-name-resolve --skip-log-bin \
    --character-set-server=utf8mb3 --collation-server=utf8mb3_general_ci --max-connections=500 \
    --innodb-buffer-pool-size=64M --innodb-log-file-size=48M --innodb-flush-log-at-trx-commit=0 --innodb-doublewrite=0 \
    --innodb-flush-method=nosync --performance-schema=OFF
  wait_until mariadb 60 "does not answer" sql -e 'select 1'
}
