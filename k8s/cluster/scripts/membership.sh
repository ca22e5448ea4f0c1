# Runs on the first control plane, for one node: admits it and waits until it is Ready (apply), or takes it out (delete).
# Settings: NODE ADDRESS ROLE(controlPlane|worker) LABELS(a=b,c=d) TAINTS(k=v:Effect,...) NODE_TIMEOUT(seconds)
# File: /etc/gourmetgram/cluster/token-NODE, the bootstrap token
# shellcheck shell=bash
export PATH=/usr/local/bin:$PATH KUBECONFIG=/etc/kubernetes/admin.conf
say() { echo "> $NODE: $*"; }

# Waits are watches, not polls: kubectl three times a second for each node costs more than the nodes' own start.
admit() {
  local token
  token=$(cat "/etc/gourmetgram/cluster/token-$NODE")
  wait_for_api
  if ! kubectl get node "$NODE" >/dev/null 2>&1; then
    # Expired or never there: a token lives an hour and is only needed while a node joins.
    if ! kubectl -n kube-system get secret "bootstrap-token-${token%%.*}" >/dev/null 2>&1; then
      renew_token "$token"
    fi
    say "waiting for it to register"
    wait_for create || fail "the node did not register within $NODE_TIMEOUT s"
  fi
  describe
  say "waiting for it to be Ready"
  wait_for condition=Ready ||
    fail "the node registered and was not Ready within $NODE_TIMEOUT s: $(kubectl get node "$NODE" \
      -o jsonpath='{.status.conditions[?(@.type=="Ready")].message}')"
  rm -f "/etc/gourmetgram/cluster/token-$NODE"
  say Ready
}

# A machine that has died never gets there: noticed within half a minute, not at the end of the timeout.
wait_for() {
  local watch silent=0
  kubectl wait --for="$1" "node/$NODE" --timeout="${NODE_TIMEOUT}s" >/dev/null &
  watch=$!
  while kill -0 $watch 2>/dev/null; do
    sleep 0.5
    [ $((SECONDS % 3)) = 0 ] || continue
    if alive; then silent=0; else silent=$((silent + 1)); fi
    if [ $silent -ge 8 ]; then
      kill $watch
      fail "the machine ($ADDRESS) does not answer any more: it died or was cut off"
    fi
  done
  wait $watch
}

# A refused connection is an answer too.
alive() {
  local said
  said=$(timeout 3 bash -c "exec 3<>/dev/tcp/$ADDRESS/22" 2>&1) && return 0
  [[ $said == *refused* ]]
}

wait_for_api() {
  local end=$((SECONDS + NODE_TIMEOUT))
  until kubectl get --raw /readyz >/dev/null 2>&1; do
    [ $SECONDS -lt $end ] || fail "the API server of the first control plane did not answer within $NODE_TIMEOUT s"
    sleep 0.5
  done
}

fail() {
  echo "$NODE: $1"
  exit 1
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
  local before tainted key pair keys='' labels=() changes=()
  IFS='|' read -r before tainted < <(kubectl get node "$NODE" \
    -o jsonpath='{.metadata.annotations.gourmetgram\.dev/labels}|{.metadata.annotations.gourmetgram\.dev/taints}{"\n"}')
  for key in ${before//,/ }; do
    [[ ",$LABELS" == *",$key="* ]] || labels+=("$key-")
  done
  for pair in ${LABELS//,/ }; do
    labels+=("$pair")
    keys="$keys,${pair%%=*}"
  done
  [ ${#labels[@]} = 0 ] || kubectl label node "$NODE" --overwrite "${labels[@]}" >/dev/null
  for pair in ${tainted//,/ }; do
    [[ ",$TAINTS," == *",$pair,"* ]] || changes+=("${pair%%=*}:${pair##*:}-")
  done
  # One that is gone already, by hand, is no error.
  [ ${#changes[@]} = 0 ] || kubectl taint node "$NODE" "${changes[@]}" >/dev/null 2>&1 || true
  # shellcheck disable=SC2086
  [ -z "$TAINTS" ] || kubectl taint node "$NODE" --overwrite ${TAINTS//,/ } >/dev/null
  [ "${keys#,} $TAINTS" = "$before $tainted" ] ||
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
