#!/usr/bin/env bash
# The yardstick: what a careful administrator's shell script does on the same machines, all of them in parallel.
# Prints the seconds from its start until every node is Ready. Nothing of this project's bootstrap is used.
# Settings: NODES("node1=10.0.0.11 node2=..." first is the control plane) SSH_CONFIG BUNDLE(folder on the machines)
#           VERSION REGISTRY ETCD_TAG COREDNS_TAG PAUSE_IMAGE POD_CIDR SERVICE_CIDR NETWORK_MANIFEST(file on this host)
set -euo pipefail
began=$(date +%s.%N)
token=abcdef.0123456789abcdef
first=${NODES%% *}
endpoint=${first#*=}:6443
on() { ssh -F "$SSH_CONFIG" -o BatchMode=yes "$1" "${@:2}"; }

prepare() {
  on "$1" bash -s <<EOF
set -euo pipefail
ln -sf $BUNDLE/bin/{kubeadm,kubectl,kubelet} /usr/local/bin/
mkdir -p /opt/cni/bin /etc/containerd /etc/systemd/system/kubelet.service.d /etc/kubernetes/patches
ln -sf $BUNDLE/cni/* /opt/cni/bin/
. /etc/gourmetgram/machine.env
cat >/etc/containerd/config.toml <<TOML
version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "$PAUSE_IMAGE"
  restrict_oom_score_adj = \$GG_RESTRICT_OOM_SCORE_ADJ
TOML
systemctl restart containerd
cat >/etc/kubernetes/patches/kubeletconfiguration+strategic.yaml <<YAML
cgroupDriver: cgroupfs
evictionHard: {"nodefs.available": 1Gi, "imagefs.available": 1Gi, "memory.available": 100Mi}
YAML
printf '%s\n' '[Unit]' 'After=containerd.service' '[Service]' 'ExecStart=/usr/local/bin/kubelet' 'Restart=always' 'RestartSec=1' \
  '[Install]' 'WantedBy=multi-user.target' >/etc/systemd/system/kubelet.service
cat >/etc/systemd/system/kubelet.service.d/10-kubeadm.conf <<'UNIT'
[Service]
EnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env
ExecStart=
ExecStart=/usr/local/bin/kubelet --bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf --kubeconfig=/etc/kubernetes/kubelet.conf --config=/var/lib/kubelet/config.yaml \$KUBELET_KUBEADM_ARGS
UNIT
systemctl daemon-reload
systemctl enable -q kubelet
sysctl -qw net.ipv4.ip_forward=1
EOF
}

registration() {
  cat <<EOF
nodeRegistration:
  name: $1
  taints: []
  ignorePreflightErrors: [all]
  kubeletExtraArgs: [{name: node-ip, value: $2}]
patches: {directory: /etc/kubernetes/patches}
EOF
}

initialise() {
  prepare "$1"
  on "$1" "cat >/root/kubeadm.yaml && kubeadm init --config /root/kubeadm.yaml" >/dev/null <<EOF
apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
bootstrapTokens: [{token: $token}]
localAPIEndpoint: {advertiseAddress: $2}
$(registration "$1" "$2")
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: $VERSION
controlPlaneEndpoint: $endpoint
imageRepository: $REGISTRY
networking: {podSubnet: $POD_CIDR, serviceSubnet: $SERVICE_CIDR}
dns: {imageRepository: $REGISTRY, imageTag: $COREDNS_TAG}
etcd: {local: {imageRepository: $REGISTRY, imageTag: $ETCD_TAG}}
---
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
failSwapOn: false
---
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: iptables
conntrack: {maxPerCore: 0, min: 0}
EOF
  on "$1" kubectl --kubeconfig /etc/kubernetes/admin.conf apply -f - >/dev/null <"$NETWORK_MANIFEST"
}

join() {
  prepare "$1"
  until curl -fsk -o /dev/null -m 5 "https://$endpoint/api/v1/namespaces/kube-public/configmaps/cluster-info"; do sleep 0.5; done
  on "$1" "cat >/root/kubeadm.yaml && kubeadm join --config /root/kubeadm.yaml" >/dev/null <<EOF
apiVersion: kubeadm.k8s.io/v1beta4
kind: JoinConfiguration
discovery:
  bootstrapToken: {token: $token, apiServerEndpoint: "$endpoint", unsafeSkipCAVerification: true}
$(registration "$1" "$2")
EOF
}

count=0 failed=0 pids=()
for node in $NODES; do
  if [ "$node" = "$first" ]; then initialise "${node%%=*}" "${node#*=}" & else join "${node%%=*}" "${node#*=}" & fi
  pids+=($!)
  count=$((count + 1))
done
for pid in "${pids[@]}"; do wait "$pid" || failed=1; done
[ $failed = 0 ] || exit 1
ready() {
  on "${first%%=*}" kubectl --kubeconfig /etc/kubernetes/admin.conf get nodes \
    -o "'jsonpath={range .items[*].status.conditions[?(@.type==\"Ready\")]}{.status} {end}'" | tr ' ' '\n' | grep -c True || true
}
until [ "$(ready)" = "$count" ]; do sleep 0.25; done
echo "$began $(date +%s.%N)" | awk '{printf "%.2f\n", $2 - $1}'
