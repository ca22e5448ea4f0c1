# Makes this machine a node of the cluster: control plane by `kubeadm init` or `join --control-plane`, worker by `join`.
# Run again it changes only what differs: binaries, images, configuration, and a new patch version is an upgrade in place.
# Settings: NODE ROLE(init|controlPlane|worker) ENDPOINT VERSION PAUSE_IMAGE DNS_IMAGE BUNDLE(key of the bundle)
#   BUNDLE_URL(where it is taken from, may be empty) BUNDLE_CHECKSUM(SHA-256 of its SHA256SUMS, may be empty)
#   REGISTRY(host:port of the registry inside the cluster, may be empty) REGISTRY_IP(its address)
# Files (scripts/membership.sh and kubeadmConfig.ts name the same folders): /etc/gourmetgram/cluster/...
# shellcheck shell=bash
given=/etc/gourmetgram/cluster
joined=$given/joined # holds the Kubernetes version this node runs; absent: never joined
restore=/var/lib/gourmetgram/restore # what a former machine of this name held, brought along by the graph
export PATH=/usr/local/bin:$PATH DEBIAN_FRONTEND=noninteractive

say() { echo "> $NODE: $*"; }

# Traits of the machine image; a machine that says nothing is an ordinary virtual machine with a disk of its own.
GG_BUNDLES='' GG_RESTRICT_OOM_SCORE_ADJ=false GG_SHARED_DISK=false GG_CGROUP_DRIVER=systemd
# shellcheck disable=SC1091
[ ! -f /etc/gourmetgram/machine.env ] || . /etc/gourmetgram/machine.env

main() {
  install_packages
  prepare_kernel
  keep_pods_from_metadata
  fetch_bundle
  install_binaries
  configure_containerd
  trust_registry
  import_images
  configure_kubelet
  if [ ! -f "$joined" ]; then
    # An attempt that the machine's end cut short left something that no kubeadm takes up again; nothing in it was in use.
    if [ -n "$(ls -A /etc/kubernetes/manifests 2>/dev/null)" ] || [ -f /etc/kubernetes/kubelet.conf ]; then
      say "clearing an unfinished attempt"
      kubeadm reset --force >/dev/null || true
      rm -rf /var/lib/etcd/member
    fi
    place_pki
    case $ROLE in
      init)
        restore_home
        initialise
        ;;
      *) join ;;
    esac
    echo "$VERSION" >"$joined"
    rm -rf "$restore"
  elif [ "$(cat "$joined")" != "$VERSION" ]; then
    upgrade
    echo "$VERSION" >"$joined"
  fi
  systemctl is-active --quiet kubelet || systemctl restart kubelet
}

# What a plain Debian or Ubuntu lacks. Machine images that have it, and machines without a way out, ask nobody.
install_packages() {
  local program missing=()
  for program in containerd runc conntrack iptables socat ethtool curl; do
    command -v "$program" >/dev/null || missing+=("$program")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  command -v apt-get >/dev/null || {
    echo "this machine lacks ${missing[*]} and has no apt-get to install them: use a Debian or Ubuntu image"
    exit 1
  }
  # A fresh machine is still busy with itself: its first boot and its own updates hold the lock of apt.
  if command -v cloud-init >/dev/null; then timeout 600 cloud-init status --wait >/dev/null || true; fi
  say "installing ${missing[*]}"
  apt-get -o DPkg::Lock::Timeout=600 -q update
  apt-get -o DPkg::Lock::Timeout=600 -q -y --no-install-recommends install "${missing[@]}"
}

prepare_kernel() {
  modprobe overlay 2>/dev/null || true
  modprobe br_netfilter 2>/dev/null || true
  mkdir -p /etc/sysctl.d
  printf '%s\n' net.ipv4.ip_forward=1 net.bridge.bridge-nf-call-iptables=1 >/etc/sysctl.d/90-kubernetes.conf
  # A setting the kernel of a container does not have is not an error; a missing ip_forward is, and kubeadm names it.
  sysctl -q -e -p /etc/sysctl.d/90-kubernetes.conf || true
  swapoff -a 2>/dev/null || true
}

# The metadata service of a cloud tells whoever asks what this machine was told at its first boot, its SSH host key among it.
# No pod needs it. A rule of its own, in a table that nothing of Kubernetes touches.
keep_pods_from_metadata() {
  [ -d /var/lib/cloud/instance ] || return 0
  iptables -t raw -C PREROUTING -d 169.254.169.254/32 -j DROP 2>/dev/null ||
    iptables -t raw -I PREROUTING -d 169.254.169.254/32 -j DROP ||
    say "pods can reach the metadata service: this kernel has no raw table"
}

# The bundle lies on the machine already, or is taken by URL, each file verified.
fetch_bundle() {
  local folder
  for folder in "$GG_BUNDLES" /var/lib/gourmetgram/bundles; do
    if [ -n "$folder" ] && [ -f "$folder/$BUNDLE/SHA256SUMS" ]; then
      bundle=$folder/$BUNDLE
      return
    fi
  done
  [ -n "$BUNDLE_URL" ] || {
    echo "no bundle on this machine and no URL to take it from: set cluster.bundleUrl"
    exit 1
  }
  bundle=/var/lib/gourmetgram/bundles/$BUNDLE
  mkdir -p "$bundle"
  curl -fsS --retry 5 --retry-connrefused -o "$bundle/SHA256SUMS.new" "$BUNDLE_URL/SHA256SUMS"
  [ -z "$BUNDLE_CHECKSUM" ] || echo "$BUNDLE_CHECKSUM  $bundle/SHA256SUMS.new" | sha256sum --check --status || {
    echo "$BUNDLE_URL has another bundle than this environment's, whose SHA256SUMS has the SHA-256 $BUNDLE_CHECKSUM"
    exit 1
  }
  local sum path count=0
  while read -r sum path; do
    if ! echo "$sum  $bundle/$path" | sha256sum --check --status 2>/dev/null; then
      mkdir -p "$(dirname "$bundle/$path")"
      curl -fsS --retry 5 --retry-connrefused -o "$bundle/$path.new" "$BUNDLE_URL/$path"
      echo "$sum  $bundle/$path.new" | sha256sum --check --status || {
        echo "$BUNDLE_URL/$path does not have the SHA-256 $sum that the bundle names"
        exit 1
      }
      mv "$bundle/$path.new" "$bundle/$path"
    fi
    count=$((count + 1))
  done <"$bundle/SHA256SUMS.new"
  mv "$bundle/SHA256SUMS.new" "$bundle/SHA256SUMS"
  chmod 755 "$bundle"/bin/* "$bundle"/cni/*
  say "$count files of the bundle taken and verified"
}

install_binaries() {
  local file
  for file in kubeadm kubectl; do ln -sfn "$bundle/bin/$file" "/usr/local/bin/$file"; done
  # A running kubelet keeps its version until the upgrade says otherwise.
  [ -f "$joined" ] && [ "$(cat "$joined")" != "$VERSION" ] || ln -sfn "$bundle/bin/kubelet" /usr/local/bin/kubelet
  mkdir -p /opt/cni/bin
  for file in "$bundle"/cni/*; do ln -sfn "$file" "/opt/cni/bin/$(basename "$file")"; done
}

configure_containerd() {
  local systemd_cgroup=true
  [ "$GG_CGROUP_DRIVER" = systemd ] || systemd_cgroup=false
  mkdir -p /etc/containerd
  cat >/etc/containerd/config.toml.new <<EOF
version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "$PAUSE_IMAGE"
  restrict_oom_score_adj = $GG_RESTRICT_OOM_SCORE_ADJ
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "/opt/cni/bin"
  conf_dir = "/etc/cni/net.d"
[plugins."io.containerd.grpc.v1.cri".registry]
  config_path = "/etc/containerd/certs.d"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
  SystemdCgroup = $systemd_cgroup
EOF
  if ! cmp -s /etc/containerd/config.toml.new /etc/containerd/config.toml; then
    mv /etc/containerd/config.toml.new /etc/containerd/config.toml
    systemctl enable --quiet containerd
    systemctl restart containerd
  else
    rm /etc/containerd/config.toml.new
    systemctl start containerd
  fi
}

# Images of the registry inside the cluster: its name is known to pods only, so containerd gets the address, and the
# authority of its certificate. Read at each pull, so nothing is restarted.
trust_registry() {
  [ -n "$REGISTRY" ] || return 0
  local folder=/etc/containerd/certs.d/$REGISTRY
  mkdir -p "$folder"
  cat >"$folder/hosts.toml.new" <<EOF
server = "https://$REGISTRY"
[host."https://$REGISTRY_IP:${REGISTRY##*:}"]
  capabilities = ["pull", "resolve"]
  ca = "$given/ca.crt"
EOF
  mv "$folder/hosts.toml.new" "$folder/hosts.toml"
}

import_images() {
  local known missing=() file reference
  known=$(ctr -n k8s.io images ls -q)
  for reference in $(sed -n 's/.*"reference": "\([^"]*\)".*/\1/p' "$bundle/bundle.json"); do
    file=${reference##*/}
    grep -qxF "$reference" <<<"$known" || missing+=("images/${file%%:*}.tar")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  say "importing ${#missing[@]} images"
  for file in "${missing[@]}"; do ctr -n k8s.io images import "$bundle/$file" >/dev/null; done
}

configure_kubelet() {
  # Patches are this machine's own word on top of the cluster's kubelet configuration.
  local patches=/etc/gourmetgram/kubeadm-patches
  mkdir -p $patches
  {
    echo "cgroupDriver: $([ "$GG_CGROUP_DRIVER" = systemd ] && echo systemd || echo cgroupfs)"
    if [ "$GG_SHARED_DISK" = true ]; then
      # The disk is the host's: shares of it say nothing about this machine.
      echo 'evictionHard: {"nodefs.available": 1Gi, "imagefs.available": 1Gi, "memory.available": 100Mi}'
    fi
  } >$patches/kubeletconfiguration+strategic.yaml
  mkdir -p /etc/systemd/system/kubelet.service.d
  cat >/etc/systemd/system/kubelet.service <<'EOF'
[Unit]
Description=kubelet
Wants=network-online.target containerd.service
After=network-online.target containerd.service
[Service]
ExecStart=/usr/local/bin/kubelet
Restart=always
StartLimitInterval=0
RestartSec=1
[Install]
WantedBy=multi-user.target
EOF
  cat >/etc/systemd/system/kubelet.service.d/10-kubeadm.conf <<'EOF'
[Service]
Environment="KUBELET_KUBECONFIG_ARGS=--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf --kubeconfig=/etc/kubernetes/kubelet.conf"
Environment="KUBELET_CONFIG_ARGS=--config=/var/lib/kubelet/config.yaml"
EnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env
ExecStart=
ExecStart=/usr/local/bin/kubelet $KUBELET_KUBECONFIG_ARGS $KUBELET_CONFIG_ARGS $KUBELET_KUBEADM_ARGS
EOF
  systemctl daemon-reload
  systemctl enable --quiet kubelet
  # The serving certificate is signed by the cluster's CA, so that nobody has to skip its verification.
  install -d -m 0700 /var/lib/kubelet/pki
  install -m 0600 $given/kubelet/kubelet.key /var/lib/kubelet/pki/kubelet.key
  install -m 0644 $given/kubelet/kubelet.crt /var/lib/kubelet/pki/kubelet.crt
}

place_pki() {
  [ "$ROLE" != worker ] || return 0
  install -d -m 0700 /etc/kubernetes/pki /etc/kubernetes/pki/etcd /etc/kubernetes/apiserver
  cp -a $given/pki/. /etc/kubernetes/pki/
  cp -a $given/apiserver/. /etc/kubernetes/apiserver/
}

# etcd's data under the same name and address as before, and volumes. An attempt that was cut short begins with it again.
restore_home() {
  [ -f "$restore/home.tar" ] || return 0
  say "restoring etcd and volumes"
  rm -rf /var/lib/etcd/member
  tar --extract --directory=/ --numeric-owner --preserve-permissions --file="$restore/home.tar"
}

initialise() {
  say "kubeadm init"
  local skipped=()
  # Restored with all else; kubeadm would migrate it, and knows only the CoreDNS versions it shipped itself.
  [ ! -f "$restore/home.tar" ] || skipped=(--skip-phases=addon/coredns)
  kubeadm init --config $given/kubeadm.yaml "${skipped[@]}" \
    --ignore-preflight-errors=SystemVerification,Swap,Mem,NumCPU,DirAvailable--var-lib-etcd
  say "control plane answers"
}

join() {
  local conf=/etc/kubernetes/bootstrap-discovery.conf token
  install -D -m 0600 $given/bootstrap-discovery.conf $conf
  token=$(sed -n 's/^ *token: *//p' $conf)
  printf 'header = "Authorization: Bearer %s"\n' "$token" >/run/gourmetgram/join.curl
  say "waiting for the control plane"
  local waited=0
  # The last thing `kubeadm init` allows a joining node is to read this map: then all it needs is there.
  until curl -fsS --cacert $given/ca.crt --max-time 5 -o /dev/null -K /run/gourmetgram/join.curl \
    "https://$ENDPOINT/api/v1/namespaces/kube-system/configmaps/kubelet-config" 2>/run/gourmetgram/join.error; do
    waited=$((waited + 1))
    [ $waited -lt 1800 ] || {
      echo "the control plane at $ENDPOINT did not admit this node within 15 minutes: $(cat /run/gourmetgram/join.error)"
      exit 1
    }
    sleep 0.5
  done
  rm -f /run/gourmetgram/join.curl /run/gourmetgram/join.error
  say "kubeadm join"
  kubeadm join --config $given/kubeadm.yaml --ignore-preflight-errors=SystemVerification,Swap,Mem,NumCPU
  rm -f $conf $given/bootstrap-discovery.conf
  # Before it had its certificate, its first lists of Services were refused, and pods that came meanwhile would be tried again
  # only ten seconds later, the network's among them. A fresh start has the certificate from the first request on.
  systemctl restart kubelet
}

upgrade() {
  local from
  from=$(cat "$joined")
  say "upgrading from $from to $VERSION"
  if [ "$ROLE" = init ]; then
    kubeadm upgrade apply "$VERSION" --yes --patches /etc/gourmetgram/kubeadm-patches \
      --ignore-preflight-errors=all --skip-phases=addon/coredns
    # kubeadm migrates only from CoreDNS versions it shipped itself; ours has a pin of its own.
    kubectl --kubeconfig /etc/kubernetes/admin.conf -n kube-system set image deployment/coredns "coredns=$DNS_IMAGE"
  else
    # The first control plane goes first; its word that it is done is the version in the cluster's own configuration.
    until kubectl --kubeconfig /etc/kubernetes/kubelet.conf -n kube-system get configmap kubeadm-config \
      -o jsonpath='{.data.ClusterConfiguration}' 2>/dev/null | grep -q "kubernetesVersion: $VERSION\$"; do sleep 2; done
    kubeadm upgrade node --patches /etc/gourmetgram/kubeadm-patches --ignore-preflight-errors=all
  fi
  ln -sfn "$bundle/bin/kubelet" /usr/local/bin/kubelet
  systemctl daemon-reload
  systemctl restart kubelet
}

main
