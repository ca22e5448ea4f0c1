# Runs on the first control plane, for one node: admits it and waits until it is Ready (apply), or takes it out (delete).
# Settings: NODE ROLE(controlPlane|worker) LABELS(a=b,c=d) TAINTS(k=v:Effect,...) NODE_TIMEOUT(seconds)
# File: /etc/gourmetgram/cluster/token-NODE, the bootstrap token
# shellcheck shell=bash
export PATH=/usr/local/bin:$PATH KUBECONFIG=/etc/kubernetes/admin.conf
say() { echo "> $NODE: $*"; }

admit() {
  local token
  token=$(cat "/etc/gourmetgram/cluster/token-$NODE")
  until kubectl get --raw /readyz >/dev/null 2>&1 && kubectl -n kube-public get configmap cluster-info >/dev/null 2>&1; do
    tick "the API server of the first control plane does not answer"
  done
  if ! kubectl get node "$NODE" >/dev/null 2>&1; then
    # Expired or never there: a token lives an hour and is only needed while a node joins.
    if ! kubectl -n kube-system get secret "bootstrap-token-${token%%.*}" >/dev/null 2>&1; then
      renew_token "$token"
    fi
    say "waiting for it to register"
    until kubectl get node "$NODE" >/dev/null 2>&1; do tick "the node never registered"; done
  fi
  describe
  say "waiting for it to be Ready"
  until [ "$(kubectl get node "$NODE" -o jsonpath='{.status.conditions[?(@.type=="Ready")].status}')" = True ]; do
    tick "the node is registered and not Ready: $(kubectl get node "$NODE" \
      -o jsonpath='{.status.conditions[?(@.type=="Ready")].message}')"
  done
  rm -f "/etc/gourmetgram/cluster/token-$NODE"
  say Ready
}

waited=0
tick() {
  waited=$((waited + 1))
  [ $waited -lt $((NODE_TIMEOUT * 4)) ] || {
    echo "$NODE: $1 (waited $NODE_TIMEOUT s)"
    exit 1
  }
  sleep 0.25
}

# The token as a manifest on stdin, for kubeadm would want it as an argument.
renew_token() {
  kubectl apply -f - >/dev/null <<EOF
apiVersion: v1
kind: Secret
type: bootstrap.kubernetes.io/token
metadata: {name: "bootstrap-token-${1%%.*}", namespace: kube-system}
stringData:
  token-id: "${1%%.*}"
  token-secret: "${1##*.}"
  expiration: "$(date -u -d '+1 hour' +%Y-%m-%dT%H:%M:%SZ)"
  usage-bootstrap-authentication: "true"
  usage-bootstrap-signing: "true"
  auth-extra-groups: system:bootstrappers:kubeadm:default-node-token
EOF
}

# Labels and taints of the spec; one that left the spec leaves the node, those of others stay.
describe() {
  local before key pair
  before=$(kubectl get node "$NODE" -o jsonpath='{.metadata.annotations.gourmetgram\.dev/labels}')
  for key in ${before//,/ }; do
    [[ ",$LABELS" == *",$key="* ]] || kubectl label node "$NODE" "$key-" >/dev/null
  done
  local keys=''
  for pair in ${LABELS//,/ }; do
    kubectl label node "$NODE" --overwrite "$pair" >/dev/null
    keys="$keys,${pair%%=*}"
  done
  local tainted
  tainted=$(kubectl get node "$NODE" -o jsonpath='{.metadata.annotations.gourmetgram\.dev/taints}')
  for pair in ${tainted//,/ }; do
    [[ ",$TAINTS," == *",$pair,"* ]] || kubectl taint node "$NODE" "${pair%%=*}:${pair##*:}-" >/dev/null 2>&1 || true
  done
  for pair in ${TAINTS//,/ }; do kubectl taint node "$NODE" --overwrite "$pair" >/dev/null; done
  kubectl annotate node "$NODE" --overwrite "gourmetgram.dev/labels=${keys#,}" "gourmetgram.dev/taints=$TAINTS" >/dev/null
}

leave() {
  kubectl get node "$NODE" >/dev/null 2>&1 || return 0
  say draining
  # Bounded: a pod that will not go is named and the node goes all the same, for its machine is about to.
  kubectl drain "$NODE" --ignore-daemonsets --delete-emptydir-data --force --timeout=120s ||
    echo "> $NODE: not all pods left in time; they end with the machine"
  if [ "$ROLE" = controlPlane ]; then
    local etcd member
    etcd=$(kubectl -n kube-system get pods -l component=etcd -o name | grep -v "/etcd-$NODE\$" | head -n 1)
    member=$(etcdctl_in "$etcd" member list | sed -n "s/^\([0-9a-f]*\), [a-z]*, $NODE, .*/\1/p")
    [ -z "$member" ] || etcdctl_in "$etcd" member remove "$member"
  fi
  kubectl delete node "$NODE" --wait=false >/dev/null
  say "left the cluster"
}

etcdctl_in() {
  local pod=$1
  shift
  kubectl -n kube-system exec "$pod" -- etcdctl --endpoints=https://127.0.0.1:2379 \
    --cacert=/etc/kubernetes/pki/etcd/ca.crt --cert=/etc/kubernetes/pki/etcd/server.crt \
    --key=/etc/kubernetes/pki/etcd/server.key "$@"
}

case $STEP_ACTION in
  apply) admit ;;
  delete) leave ;;
esac
