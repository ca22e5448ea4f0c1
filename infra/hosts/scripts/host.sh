# Takes a machine that exists already for an environment (apply), or gives it back as it was (delete).
# Settings: NODE ENVIRONMENT IDENTITY(tells environments of one name apart)
# File: /run/gourmetgram/check-host.sh (scripts/check.sh)
# Result: the machine's id and a random one, new each time the machine is taken.
# Taking writes down what is there; giving back removes what came since, and nothing that was there before. A copy of this script,
# /etc/gourmetgram/give-back.sh, does that by hand, when the environment's state is lost.
# shellcheck shell=bash
export LC_ALL=C PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/sbin
umask 022
root=${STEP_ROOT:-} # of tests
ours=$root/etc/gourmetgram
owner=$ours/host.env # whose it is; data, never sourced. The last thing to go
before=$ours/before  # what was there, a file for each kind of thing
check=$root/run/gourmetgram/check-host.sh

# What a node gets, folders before what is in them. What was not there when the machine was taken goes as a whole.
readonly PATHS="/etc/cni /etc/cni/net.d /etc/containerd /etc/containerd/certs.d /etc/containerd/config.toml /etc/kubernetes
/etc/sysctl.d/90-kubernetes.conf /etc/systemd/system/kubelet.service /etc/systemd/system/kubelet.service.d
/opt/cni /opt/cni/bin /opt/containerd /opt/local-path-provisioner /root/.kube/cache /run/flannel
/usr/libexec/kubernetes /usr/local/bin/kubeadm /usr/local/bin/kubectl /usr/local/bin/kubelet
/var/lib/cni /var/lib/containerd /var/lib/etcd /var/lib/kubelet /var/log/containers /var/log/kubernetes /var/log/pods"
# What pods and kubectl make on the way; it goes when nobody has put anything into it.
readonly EMPTY="/lib/modules /root/.kube"
# Of a folder that was there, what came into it.
readonly FOLDERS="/etc/cni/net.d /etc/containerd/certs.d /opt/cni/bin /opt/local-path-provisioner
/var/lib/cni /var/lib/etcd /var/lib/kubelet /var/log/containers /var/log/pods"
# What the node script may write over; copies are kept.
readonly OVERWRITTEN="/etc/containerd/config.toml /etc/sysctl.d/90-kubernetes.conf /etc/systemd/system/kubelet.service /opt/cni/bin
/usr/local/bin/kubeadm /usr/local/bin/kubectl /usr/local/bin/kubelet"
# What the node script installs where it is missing.
readonly PACKAGES="containerd runc conntrack iptables socat ethtool curl"
# Kernel settings that the node script, kubelet, kube-proxy and flannel change.
readonly SYSCTLS="kernel.keys.root_maxbytes kernel.keys.root_maxkeys kernel.panic kernel.panic_on_oops
net.bridge.bridge-nf-call-ip6tables net.bridge.bridge-nf-call-iptables net.ipv4.conf.all.route_localnet net.ipv4.ip_forward
net.netfilter.nf_conntrack_tcp_timeout_close_wait net.netfilter.nf_conntrack_tcp_timeout_established
vm.overcommit_memory vm.panic_on_oom"
# Rules of kube-proxy, flannel, the CNI's port mappings, and the node script's own, as iptables-save writes them.
readonly RULES='KUBE-|FLANNEL-|CNI-|-A PREROUTING -d 169\.254\.169\.254/32 -j DROP'

say() { echo "> $NODE: $*"; }

# refuse PROBLEM NEXT: a reason, and what to do.
refuse() {
  printf '%s (%s) %s\n  next: %s\n' "$NODE" "$(hostname)" "$1" "$2"
  exit 1
}

# owned KEY: a value of the owner's file.
owned() { sed -n "s/^$1=//p" "$owner"; }

# was KIND LINE: so it was when the machine was taken.
was() { grep -qxF -- "$2" "$before/$1"; }

links() { ip -o link show "$@" 2>/dev/null | sed -n 's/^[0-9]*: \([^:@]*\).*/\1/p'; }

installed() { [ "$(dpkg-query --show --showformat='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

# --- apply ---------------------------------------------------------------------------------------------------------------

take() {
  if [ -f "$owner" ]; then
    check_owner
  else
    last_checks
    remember
    write_owner
    say "taken for $ENVIRONMENT"
  fi
  # The exports at its head are settings, no secrets.
  install -m 0700 "$0" "$ours/give-back.sh"
  rm -f "$check"
  owned INSTANCE >"$STEP_RESULT"
}

check_owner() {
  local by_hand="or give the machine back by hand, with all that is on it: sudo bash /etc/gourmetgram/give-back.sh"
  if [ "$(owned ENVIRONMENT)" != "$ENVIRONMENT" ]; then
    refuse "belongs to the environment $(owned ENVIRONMENT) since $(owned SINCE)" "destroy that environment, $by_hand"
  fi
  if [ "$(owned IDENTITY)" != "$IDENTITY" ]; then
    refuse "belongs to another environment named $ENVIRONMENT since $(owned SINCE)" "destroy it where its state is, $by_hand"
  fi
}

last_checks() {
  local facts found
  facts=$(bash "$check")
  found=$(sed -n 's/^init=//p' <<<"$facts")
  [ "$found" = systemd ] || refuse "runs $found as its first process" "use a machine with systemd"
  found=$(sed -n 's/^kubernetes=//p' <<<"$facts" | paste -sd ' ')
  [ -z "$found" ] || refuse "is a Kubernetes node that this environment did not make: $found" \
    "take it out of its cluster and run kubeadm reset on it (for k3s, RKE2 or k0s their uninstaller), or use another machine"
}

# Written whole or not at all: what an attempt that was cut short wrote down is written again.
remember() {
  local path name value now=$before.new kept=()
  rm -rf "$now"
  install -d -m 0755 "$ours"
  install -d -m 0700 "$now"
  for path in $PATHS $EMPTY; do
    # A broken link is there, too.
    if [ -e "$root$path" ] || [ -L "$root$path" ]; then echo "$path"; fi
  done >"$now/paths"
  for path in $FOLDERS; do
    [ ! -d "$root$path" ] || find "$root$path" -mindepth 1 -maxdepth 1 -printf "$path/%f\n"
  done >"$now/entries"
  for path in $OVERWRITTEN; do
    if [ -e "$root$path" ] || [ -L "$root$path" ]; then kept+=(".$path"); fi
  done
  tar --create --directory="$root/" --file="$now/kept.tar" --files-from=/dev/null "${kept[@]}"
  for name in $PACKAGES; do
    if installed "$name"; then echo "$name"; fi
  done >"$now/packages"
  for name in $SYSCTLS; do
    if value=$(sysctl -n "$name" 2>/dev/null); then echo "$name=$value"; fi
  done >"$now/sysctls"
  swapon --show=NAME --noheadings >"$now/swaps" 2>/dev/null || true
  links >"$now/links"
  for name in active enabled; do
    if systemctl "is-$name" --quiet containerd 2>/dev/null; then echo "$name"; fi
  done >"$now/containerd"
  ctr -n k8s.io images ls -q >"$now/images" 2>/dev/null || true
  rm -rf "$before"
  mv "$now" "$before"
}

write_owner() {
  local instance
  instance=$(cat "$root/etc/machine-id")-$(od -An -N8 -tx1 /dev/urandom | tr -d ' \n')
  printf '%s\n' "ENVIRONMENT=$ENVIRONMENT" "IDENTITY=$IDENTITY" "NODE=$NODE" "INSTANCE=$instance" \
    "SINCE=$(date -u +%Y-%m-%dT%H:%M:%SZ)" >"$owner.new"
  mv "$owner.new" "$owner"
}

# --- delete --------------------------------------------------------------------------------------------------------------

give_back() {
  rm -f "$check"
  if [ ! -f "$owner" ]; then
    say "nothing of this environment is on it"
  elif [ "$(owned ENVIRONMENT) $(owned IDENTITY)" != "$ENVIRONMENT $IDENTITY" ]; then
    say "belongs to the environment $(owned ENVIRONMENT) now, and is left to it"
    return
  # Without what was written down nothing more can be told apart: an earlier attempt got here and was cut short.
  elif [ -d "$before" ]; then
    end_steps
    end_services
    end_pods
    restore_network
    restore_files
    restore_packages
    restore_kernel
    say "given back"
  fi
  forget
}

# Steps of a killed run that still work on.
end_steps() {
  local live pid
  for live in "$root"/run/gourmetgram/steps/*; do
    if [ "${live##*/}" = host-delete ] || [ -e "$live/code" ] || [ ! -s "$live/pid" ]; then continue; fi
    pid=$(cat "$live/pid")
    kill -TERM -- "-$pid" 2>/dev/null || continue
    timeout 30 tail --pid="$pid" -f /dev/null || kill -KILL -- "-$pid" 2>/dev/null || true
  done
}

end_services() {
  local path
  systemctl disable --now --quiet kubelet 2>/dev/null || true
  for path in "$root"/etc/systemd/system/gourmetgram-*; do
    [ -e "$path" ] || continue
    systemctl disable --now --quiet "${path##*/}" 2>/dev/null || true
    rm -rf "$path"
  done
}

# All that runs in containerd's namespace of Kubernetes. kubeadm ends pods through containerd, so that their networks end in order;
# what is left after that is ended here.
end_pods() {
  local name
  command -v ctr >/dev/null || return 0
  if [ -d "$root/etc/kubernetes" ] && command -v kubeadm >/dev/null; then
    systemctl start containerd 2>/dev/null || true
    say "ending its pods"
    # Without a kubeconfig it asks no API server, which may be gone already. etcd's members are the graph's business.
    timeout 300 kubeadm reset --force --kubeconfig /nonexistent --skip-phases=remove-etcd-member \
      --cri-socket unix:///run/containerd/containerd.sock || say "kubeadm reset did not end in order"
  fi
  systemctl is-active --quiet containerd 2>/dev/null || return 0
  for name in $(ctr -n k8s.io tasks ls -q); do
    ctr -n k8s.io tasks kill --signal SIGKILL --all "$name" 2>/dev/null || true
    ctr -n k8s.io tasks delete --force "$name" >/dev/null 2>&1 || true
  done
  for name in $(ctr -n k8s.io containers ls -q); do
    ctr -n k8s.io containers delete "$name" || true
  done
  for name in $(ctr -n k8s.io images ls -q); do
    was images "$name" || ctr -n k8s.io images remove --sync "$name" >/dev/null || true
  done
  # Goes when it is empty.
  ctr namespaces remove k8s.io >/dev/null 2>&1 || true
}

restore_network() {
  local link path program rules
  for link in $(links master cni0) cni0 flannel.1; do
    was links "$link" || ip link delete "$link" 2>/dev/null || true
  done
  for path in "$root"/run/netns/cni-*; do
    [ ! -e "$path" ] || ip netns delete "${path##*/}" 2>/dev/null || true
  done
  # All other rules stay, with their counters.
  for program in iptables-nft iptables-legacy ip6tables-nft ip6tables-legacy; do
    command -v "$program-save" >/dev/null || continue
    rules=$("$program-save" --counters 2>/dev/null) || continue
    grep -qE -- "$RULES" <<<"$rules" || continue
    { grep -vE -- "$RULES" <<<"$rules" || true; } | "$program-restore" --counters ||
      say "rules of Kubernetes stay in the packet filter until the next reboot ($program)"
  done
}

restore_files() {
  local path name config=$root/etc/containerd/config.toml sum
  was containerd active || systemctl stop containerd 2>/dev/null || true
  was containerd enabled || systemctl disable --quiet containerd 2>/dev/null || true
  sum=$(sha256sum "$config" 2>/dev/null) || true
  # Volumes of pods that were killed; what is mounted inside another one comes first.
  while read -r path; do umount --lazy "$path" || true; done < <(
    cut -d ' ' -f 5 /proc/self/mountinfo | grep "^$root/var/lib/kubelet/" | sort -r
  )
  for path in $FOLDERS; do
    [ -d "$root$path" ] || continue
    while IFS= read -r -d '' name; do
      was entries "$path/$name" || rm -rf --one-file-system "$root${path:?}/$name" || say "$path/$name stays"
    done < <(find "$root$path" -mindepth 1 -maxdepth 1 -printf '%f\0')
  done
  for path in $PATHS; do
    was paths "$path" || rm -rf --one-file-system "$root$path" || say "$path stays"
  done
  for path in $EMPTY; do
    was paths "$path" || rmdir "$root$path" 2>/dev/null || true
  done
  tar --extract --keep-directory-symlink --directory="$root/" --file="$before/kept.tar"
  [ "$sum" = "$(sha256sum "$config" 2>/dev/null)" ] || systemctl try-restart containerd 2>/dev/null || true
  systemctl daemon-reload
  systemctl reset-failed kubelet 2>/dev/null || true
  systemctl stop kubepods.slice 2>/dev/null || true
  find "$root/sys/fs/cgroup" -depth -type d -path '*/kubepods*' -exec rmdir {} + 2>/dev/null || true
}

# Only what nobody else has come to need: dpkg keeps that, apt would remove who needs it.
restore_packages() {
  local name came=()
  for name in $PACKAGES; do
    if ! was packages "$name" && installed "$name"; then came+=("$name"); fi
  done
  [ ${#came[@]} -gt 0 ] || return 0
  say "removing ${came[*]}"
  DEBIAN_FRONTEND=noninteractive dpkg --purge "${came[@]}" || say "not all of them: others need them now"
}

restore_kernel() {
  local line
  # A container has some that it cannot write, and did not.
  while read -r line; do sysctl -q -w "$line" 2>/dev/null || true; done <"$before/sysctls"
  while read -r line; do swapon "$line" 2>/dev/null || true; done <"$before/swaps"
}

# The bundle, and marks and logs of all steps; those of this one when whoever follows it has read its end.
forget() {
  local folder runner=$PPID follower lib=$root/var/lib/gourmetgram
  follower=$(sed -n 's/^PPid:[[:space:]]*//p' "/proc/$runner/status" 2>/dev/null) || true
  for folder in "$lib" "$lib/steps" "$root/run/gourmetgram/steps"; do
    [ ! -d "$folder" ] || find "$folder" -mindepth 1 -maxdepth 1 ! -name steps ! -name host-delete -exec rm -rf {} +
  done
  # machine.env came with the machine: it tells about its image.
  if [ -d "$ours" ]; then
    find "$ours" -mindepth 1 -maxdepth 1 ! -name machine.env ! -name host.env -exec rm -rf {} +
    rm -f "$owner"
    rmdir --ignore-fail-on-non-empty "$ours"
  fi
  # By hand nobody follows.
  if [ -z "${STEP_RESULT:-}" ]; then sweep; else (sweep "$runner" "${follower:-1}") </dev/null >/dev/null 2>&1 & fi
}

sweep() {
  local tries pid
  for tries in {1..300}; do
    for pid in "$@"; do
      if [ "$pid" -gt 1 ] && kill -0 "$pid" 2>/dev/null && [ "$tries" -lt 300 ]; then
        sleep 0.1
        continue 2
      fi
    done
    break
  done
  rm -rf "$root/var/lib/gourmetgram/steps/host-delete" "$root/run/gourmetgram/steps/host-delete"
  rmdir "$root"/var/lib/gourmetgram{/steps,} "$root"/run/gourmetgram{/steps,} 2>/dev/null || true
}

# By hand: delete.
case ${STEP_ACTION:-delete} in
  apply) take ;;
  delete) give_back ;;
esac
