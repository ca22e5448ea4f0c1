# Says what is true of this machine, one key=value a line, and changes nothing. Runs as the login, before anything is made.
# Settings, all may be empty: PORTS(those that have to be free) PROGRAMS(that hand out the bundle, if this machine does)
#   PEER(address of the home node, when this is another) PEER_PORTS(of the home node, that have to be reached)
# A line says "done" at the end, so that a cut answer is not taken for a whole one. infra/hosts/facts.ts reads it.
# shellcheck shell=bash
export LC_ALL=C PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
# The clock first: the reader compares it with its own when this line arrives.
echo "clock=$(date +%s)"

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

main() {
  echo "system=$(uname -s)"
  [ "$(uname -s)" = Linux ] || return 0
  # As systemd itself tells others that it is the first process.
  if [ -d /run/systemd/system ]; then echo init=systemd; else echo "init=$(cat /proc/1/comm)"; fi
  if as_root true 2>/dev/null; then echo root=yes; else echo root=no; fi
  echo "machine=$(cat /etc/machine-id 2>/dev/null)/$(cat /proc/sys/kernel/random/boot_id)"
  # shellcheck disable=SC1091
  (. /etc/os-release && echo "distribution=${PRETTY_NAME:-$ID}")
  if command -v apt-get >/dev/null; then echo apt=yes; fi
  programs
  ip -o -4 address show | awk '{ sub("/.*", "", $4); print "address=" $4 }'
  awk '{ sub(":", "", $1); kib[$1] = $2 }
    END { print "memory=" kib["MemTotal"]; print "available=" kib["MemAvailable"]; print "swapped=" kib["SwapTotal"] - kib["SwapFree"] }' \
    /proc/meminfo
  disks
  features
  ports
  as_root sed -n 's/^ENVIRONMENT=/owner=/p' /etc/gourmetgram/host.env 2>/dev/null
  kubernetes
  peer
}

# Those the node script installs by apt-get, and those that no package tool lacks but a stripped system may.
programs() {
  local program
  for program in containerd runc conntrack iptables socat ethtool curl; do
    command -v "$program" >/dev/null || echo "installable=$program"
  done
  # A machine whose image brings the bundle hands out none.
  ! grep -qs '^GG_BUNDLES=.' /etc/gourmetgram/machine.env || PROGRAMS=''
  for program in systemctl ip ss sysctl mount tar sha256sum setsid flock ${PROGRAMS:-}; do
    command -v "$program" >/dev/null || echo "missing=$program"
  done
}

# Images and containers, then bundle and volumes; one line for each file system.
disks() {
  local path
  for path in /var/lib /opt; do
    df --portability --block-size=1024 "$path" 2>/dev/null | awk -v path="$path" 'NR == 2 { print $6, $4, path }'
  done | sort -u -k1,1 | awk '{ print "disk=" $3 " " $2 }'
}

# Tried for real where that leaves nothing, else looked up. What cannot be told is not said.
features() {
  grep -qw overlay /proc/filesystems || has_module overlay || echo lacks=overlay
  if as_root true 2>/dev/null; then
    as_root unshare --net ip link add gg-trial type vxlan id 1 dstport 4789 2>/dev/null || echo lacks=vxlan
  else
    has_module vxlan || echo lacks=vxlan
  fi
  [ -e /proc/sys/net/bridge/bridge-nf-call-iptables ] || has_module br_netfilter || echo lacks=br_netfilter
}

# Without the kernel's modules at hand (a container) nobody knows.
has_module() {
  [ -d "/lib/modules/$(uname -r)" ] && command -v modprobe >/dev/null || return 0
  modprobe --dry-run --quiet "$1"
}

ports() {
  local port line
  for port in ${PORTS:-}; do
    line=$(as_root ss -Hltnp "sport = :$port" 2>/dev/null | head -n 1)
    [ -z "$line" ] || echo "port=$port $(sed -n 's/.*users:(("\([^"]*\)".*/\1/p' <<<"$line")"
  done
}

# Traces of a Kubernetes, whoever made it; only the owner says whether it is ours.
kubernetes() {
  local path unit
  for path in /etc/kubernetes/kubelet.conf /etc/kubernetes/admin.conf /var/lib/kubelet/config.yaml /var/lib/etcd/member \
    /var/lib/rancher/k3s /var/lib/rancher/rke2 /var/lib/k0s /var/snap/microk8s; do
    if as_root test -e "$path" 2>/dev/null; then echo "kubernetes=$path"; fi
  done
  for unit in kubelet k3s k3s-agent rke2-server rke2-agent k0scontroller k0sworker; do
    if systemctl is-active --quiet "$unit" 2>/dev/null; then echo "kubernetes=$unit.service"; fi
  done
}

# A refused connection is an answer too: what a firewall drops is none.
peer() {
  local port
  [ -n "${PEER:-}" ] || return 0
  for port in ${PEER_PORTS:-}; do
    reaches "$port" || echo "blocked=$port" &
  done
  wait
}

reaches() {
  local said
  said=$(timeout 3 bash -c "exec 3<>/dev/tcp/$PEER/$1" 2>&1) || [[ $said == *refused* ]]
}

main
echo "done"
