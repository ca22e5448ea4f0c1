# shellcheck shell=bash
# RabbitMQ without Debian's wrapper (which changes user) and its own port mapper, both on loopback. Sourced, never run.

start_messages() {
  local programs
  programs=$(find /usr/lib/rabbitmq/lib -maxdepth 2 -path '*/rabbitmq_server-*/sbin' | head -1)
  start epmd epmd -address 127.0.0.1
  wait_until epmd 10 "does not listen" listens 4369
  # RUNNING_UNDER_SYSTEMD makes the script become the server, so that the process number is the server's.
  start rabbitmq env HOME="$DATA/rabbitmq" RUNNING_UNDER_SYSTEMD=true ERL_EPMD_ADDRESS=127.0.0.1 \
    RABBITMQ_NODENAME=rabbit@localhost RABBITMQ_NODE_IP_ADDRESS=127.0.0.1 RABBITMQ_NODE_PORT=5672 RABBITMQ_DIST_PORT=25672 \
    RABBITMQ_CONF_ENV_FILE="$ETC/rabbitmq-env" RABBITMQ_CONFIG_FILE="$ETC/rabbitmq.conf" \
    RABBITMQ_MNESIA_BASE="$DATA/rabbitmq/mnesia" RABBITMQ_LOG_BASE="$LOG" RABBITMQ_LOGS="$LOG/rabbitmq.log" \
    RABBITMQ_PID_FILE="$RUN/rabbitmq.mnesia-pid" RABBITMQ_ENABLED_PLUGINS_FILE="$ETC/rabbitmq-plugins" \
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="-kernel inet_dist_use_interface {127,0,0,1} +S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none" \
    "$programs/rabbitmq-server" -noinput
}
