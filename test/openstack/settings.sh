# shellcheck shell=bash disable=SC2034  # used by those who source this
# Where the test cloud is and what it is made of. Sourced, never run.

BASE=${GOURMETGRAM_TESTCLOUD:-${GOURMETGRAM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/gourmetgram}/testcloud}
case $BASE in /*) ;; *) BASE=$PWD/$BASE ;; esac

# What can be made again is in CACHE, VENV and BLAZAR_NOVA; DATA is the cloud itself.
ETC=$BASE/etc RUN=$BASE/run LOG=$BASE/logs DATA=$BASE/data CACHE=$BASE/cache LIB=$BASE/lib
VENV=$BASE/venv-blazar BLAZAR_NOVA=$BASE/blazar-nova
CLOUDS=$BASE/clouds.yaml

BLAZAR_VERSION=18.0.0
BLAZAR_NOVA_VERSION=10.0.0

PACKAGES=(
  python3-keystone python3-glance python3-placement python3-nova python3-neutron python3-pymysql
  python3-openstackclient python3-openstacksdk
  mariadb-server-core mariadb-client-core rabbitmq-server
  uwsgi-core uwsgi-plugin-python3 python3-venv
  curl iproute2 procps ca-certificates nftables
)
# Unpacked for their *-paste.ini only: installed, they would start services and bring libvirt and qemu.
PASTE_PACKAGES=(nova-common glance-common neutron-common)

# keystone, nova, placement, glance, neutron, blazar, RabbitMQ (messages, epmd, distribution), then the fault proxy's.
PORTS=(5000 8774 8778 9292 9696 1234 5672 4369 25672 15000 18774 18778 19292 19696 11234)

COMPUTES=(kvm01 kvm-res01)

# Debian's own programs, whatever Python the caller has in front; and nothing of the caller's clouds.
NODE=$(command -v node || echo node)
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive
export no_proxy=127.0.0.1,localhost NO_PROXY=127.0.0.1,localhost
unset PYTHONPATH PYTHONHOME VIRTUAL_ENV PYENV_VERSION PIP_FIND_LINKS
for variable in $(compgen -e | grep '^OS_' || true); do unset "$variable"; done

SERVICES=(
  mariadb epmd rabbitmq keystone placement glance-api neutron-server nova-conductor nova-api nova-scheduler
  nova-compute-kvm01 nova-compute-kvm-res01 blazar-manager blazar-api faults
)
