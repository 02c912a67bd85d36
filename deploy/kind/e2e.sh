#!/usr/bin/env bash
# Installs CASA with the banking example into a kind cluster of its own, makes good calls and attacks, looks at the traces
# and takes everything away again.
#
#   deploy/kind/e2e.sh cilium|istio
#
# KEEP=1 leaves the cluster; SKIP_BUILD=1 takes the images casa:e2e and casa-demo:e2e as they are. Needs docker with
# buildx, kind, kubectl and helm 3.14 or later, 12 GiB of memory, and access to the registries of Cilium or Istio.
set -euo pipefail
cd "$(dirname "$0")/../.."

mode=${1:-}
[[ $# == 1 && ($mode == cilium || $mode == istio) ]] || { sed -n '2,8s/^# \{0,1\}//p' deploy/kind/e2e.sh >&2; exit 64; }

NODE_IMAGE=${NODE_IMAGE:-kindest/node:v1.34.0}
CILIUM_VERSION=1.18.1
ISTIO_VERSION=1.27.0
cluster=casa-e2e-$mode
context=kind-$cluster
work=$(mktemp -d)
passed=0 failed=0

for tool in docker kind kubectl helm; do
  command -v "$tool" >/dev/null || { echo "e2e.sh: $tool is needed and was not found" >&2; exit 1; }
done

say() { printf '\n== %s\n' "$*"; }
k() { kubectl --context "$context" "$@"; }
h() { helm --kube-context "$context" "$@"; }

# --- what is left when it ends -------------------------------------------------------------------

tell_what_was_there() {
  say "what was there"
  k get pods -A -o wide || true
  k get casa -A -o yaml || true
  for name in casa-controller casa-injector casa-runtime; do
    k -n casa-system logs "deploy/$name" --all-containers --tail=80 || true
  done
  k -n banking describe pods || true
  k get events -A --sort-by=.lastTimestamp | tail -n 60 || true
}

clean_up() {
  status=$?
  if ((status != 0 || failed)); then tell_what_was_there >&2; fi
  rm -rf "$work"
  if [[ ${KEEP:-} == 1 ]]; then
    echo "the cluster stays: kubectl --context $context; kind delete cluster --name $cluster"
  else
    kind delete cluster --name "$cluster" >/dev/null 2>&1 || true
  fi
  exit "$status"
}
trap clean_up EXIT

# --- expectations --------------------------------------------------------------------------------

held() { echo "✓ $1"; passed=$((passed + 1)); }
broke() { echo "✗ $1" >&2; failed=$((failed + 1)); }

# expect WHAT COMMAND…: the command succeeds.
expect() {
  local what=$1
  shift
  if "$@" >"$work/out" 2>&1; then held "$what"; else broke "$what: $(tail -n 3 "$work/out")"; fi
}

# refuse WHAT TEXT COMMAND…: the command fails, and says TEXT.
refuse() {
  local what=$1 text=$2
  shift 2
  if "$@" >"$work/out" 2>&1; then
    broke "$what: it was let through"
  elif grep -q -i -- "$text" "$work/out"; then
    held "$what"
  else
    broke "$what: it failed, but did not say '$text': $(tail -n 3 "$work/out")"
  fi
}

# until SECONDS COMMAND…: the command succeeds within that time.
until_done() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < deadline)) || return 1
    sleep 1
  done
}

ask() { k -n banking exec deploy/client -c client -- python client.py --agent-url http://agent:8100/ "$@"; }

# What the bank itself says it did, asked within its own pod.
ledger() {
  k -n banking exec deploy/bank -c bank -- python -c '
import json, urllib.request
print(len(json.load(urllib.request.urlopen("http://127.0.0.1:8101/ledger"))["executed"]))'
}

casa() { k -n casa-system exec deploy/casa-controller -- casa "$@"; }

# A refusal for this reason is in the traces.
traced() {
  casa traces query --url http://casa-runtime:8700 --credential-file /etc/casa/admin-credential --format json \
    --reason "$1" | grep -q '"id"'
}

# attack WHAT MISBEHAVIOUR PROMPT REASON CHANGES: what a hijacked agent tries changes nothing but what the user asked for.
attack() {
  local what=$1 misbehaviour=$2 prompt=$3 reason=$4 changes=$5 before after
  before=$(ledger)
  ask --prompt "$prompt" --misbehave "$misbehaviour" >"$work/out" 2>&1 || true
  after=$(ledger)
  if ((after - before == changes)); then
    held "$what: the bank made $changes changes"
  else
    broke "$what: expected $changes changes, the bank made $((after - before))"
  fi
  if until_done 15 traced "$reason"; then held "$what: refused as $reason"; else broke "$what: no trace of $reason"; fi
}

# Python in a container: reach HOST PORT, and succeed only when something answers.
reach() {
  local workload=$1 container=$2 host=$3 port=$4
  k -n banking exec "$workload" -c "$container" -- timeout 15 python -c "
import http.client, sys
c = http.client.HTTPConnection('$host', $port, timeout=5)
c.request('GET', '/healthz')
r = c.getresponse()
print(r.status)
sys.exit(0 if r.status < 400 else 1)"
}

# --- a cluster -----------------------------------------------------------------------------------

if [[ ${SKIP_BUILD:-} != 1 ]]; then
  say "build the images"
  deploy/images/build.sh --tag e2e
fi

say "make the cluster $cluster"
kind create cluster --name "$cluster" --image "$NODE_IMAGE" --config "deploy/kind/cluster-$mode.yaml"
kind load docker-image --name "$cluster" casa:e2e casa-demo:e2e

if [[ $mode == cilium ]]; then
  say "install Cilium $CILIUM_VERSION"
  h install cilium cilium --repo https://helm.cilium.io --version "$CILIUM_VERSION" --namespace kube-system \
    --set ipam.mode=kubernetes --set operator.replicas=1 --wait --timeout 10m
else
  say "install Istio $ISTIO_VERSION"
  charts=https://istio-release.storage.googleapis.com/charts
  h install istio-base base --repo "$charts" --version "$ISTIO_VERSION" --namespace istio-system --create-namespace --wait
  # Without a CNI plugin Istio's init container needs the rights that ours needs in the other mode.
  h install istiod istiod --repo "$charts" --version "$ISTIO_VERSION" --namespace istio-system --wait --timeout 10m
fi
k wait --for=condition=Ready nodes --all --timeout=5m

# --- CASA ----------------------------------------------------------------------------------------

say "install CASA"
k apply -f deploy/kind/casa-system.yaml
h install casa deploy/charts/casa-runtime --namespace casa-system --set image.tag=e2e \
  -f "deploy/kind/values-$mode.yaml" --wait --timeout 10m

say "an upgrade changes no secret, and the webhooks keep their authority"
authority() {
  k get validatingwebhookconfiguration casa-injector -o jsonpath='{.webhooks[*].clientConfig.caBundle}'
}
credential() { k -n casa-system get secret casa-admin -o jsonpath='{.data}' | sha256sum; }
before=$(authority; credential)
h upgrade casa deploy/charts/casa-runtime --namespace casa-system --set image.tag=e2e \
  -f "deploy/kind/values-$mode.yaml" --wait --timeout 10m
if [[ -n $(authority) && $before == "$(authority; credential)" ]]; then
  held "secrets and caBundle are as they were"
else
  broke "the upgrade changed a secret or the caBundle"
fi

say "resources that make no sense are refused by the API server itself"
k create namespace scratch
for file in examples/kubernetes/original-banking-mas.yaml examples/kubernetes/original-travel-mas.yaml; do
  sed -E 's/namespace: (banking|travel)$/namespace: scratch/' "$file" >"$work/original.yaml"
  expect "$(basename "$file") is taken" k -n scratch apply --dry-run=server --validate=strict -f "$work/original.yaml"
done
sed 's/namespace: banking$/namespace: scratch/; s/host: bank:8101/host: 10.0.0.1/' examples/kubernetes/every-field-mas.yaml >"$work/wrong.yaml"
refuse "an address instead of a Service" "should match" k apply --dry-run=server -f "$work/wrong.yaml"
sed 's/namespace: banking$/namespace: scratch/; s/calls: \[bank\]/calls: [agent]/' examples/kubernetes/every-field-mas.yaml >"$work/wrong.yaml"
refuse "an agent that calls itself" "can't call itself" k apply --dry-run=server -f "$work/wrong.yaml"
sed 's/namespace: banking$/namespace: scratch/; s/fqdn: .*/fqdn: "*.example.com"/' examples/kubernetes/every-field-policies.yaml >"$work/wrong.yaml"
refuse "a wildcard for the LLM" "wildcard" k apply --dry-run=server -f "$work/wrong.yaml"
expect "kubectl explain knows the fields" k explain mas.spec.apps.baseUrl.host
k delete namespace scratch --wait=false

say "install the banking example"
h install demo deploy/charts/casa-demo --namespace casa-demo --create-namespace --set image.tag=e2e \
  --set image.pullPolicy=Never --set mode="$mode"
k -n banking wait --for=condition=Ready mas/banking casap/client casap/agent casap/bank --timeout=5m
for name in client agent bank; do k -n banking rollout status "deploy/$name" --timeout=5m; done
k get casa -A

# --- good calls ----------------------------------------------------------------------------------

say "good calls"
transfer='Transfer 25 EUR for "dinner" to IT60X0542811101000000123456'
expect "the balance is told" ask --prompt 'What is my balance?'
before=$(ledger)
expect "a transfer is made" ask --prompt "$transfer"
if (($(ledger) == before + 1)); then held "the bank made one change"; else broke "the bank made other changes than one"; fi

# --- attacks on calls ----------------------------------------------------------------------------

say "a hijacked agent"
balance='What is my balance?'
attack "a call before the LLM was asked" unselected "$balance" no_llm_calls_made_by_app 0
attack "a call that the LLM never selected" unselected-after-llm "$balance" tool_not_selected_by_llm 0
attack "changed arguments" changed-arguments "$transfer" tool_not_selected_by_llm 0
attack "one selection, two calls" twice "$transfer" tool_selection_already_used 1

# --- attacks on the network ----------------------------------------------------------------------

say "past the sidecars"
before=$(ledger)
k create namespace outside
k -n outside run stranger --image=casa-demo:e2e --image-pull-policy=Never --restart=Never --command -- sleep 600
k -n outside wait --for=condition=Ready pod/stranger --timeout=2m
for port in 8101 15006 15001 15021; do
  if k -n outside exec stranger -- timeout 10 python -c "
import http.client
c = http.client.HTTPConnection('$(k -n banking get pod -l app.kubernetes.io/name=bank -o jsonpath='{.items[0].status.podIP}')', $port, timeout=5)
c.request('POST', '/mcp', '{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"tools/list\"}', {'content-type': 'application/json'})
raise SystemExit(0 if c.getresponse().status < 400 else 1)" >/dev/null 2>&1; then
    broke "a stranger reaches the bank at port $port"
  else
    held "a stranger does not reach the bank at port $port"
  fi
done
k delete namespace outside --wait=false
refuse "the bank calls the agent" "" reach deploy/bank bank agent 8100
refuse "the agent calls the runtime" "" reach deploy/agent agent casa-runtime.casa-system 8700
refuse "the agent calls the world" "" reach deploy/agent agent example.com 80
refuse "the client calls the bank" "" reach deploy/client client bank 8101
if (($(ledger) == before)); then held "the bank changed nothing"; else broke "the bank changed something"; fi

# --- attacks on the cluster's objects ------------------------------------------------------------

say "somebody who may edit the namespace"
while read -r name; do
  awk -v want="$name" 'BEGIN { RS = "---\n" } $0 ~ "name: " want "\n" { print }' deploy/kind/attacker.yaml >"$work/pod.yaml"
  refuse "the pod $name is refused" "denied the request" k apply --dry-run=server -f "$work/pod.yaml"
done < <(sed -n '/^metadata:/,/namespace:/s/^  name: //p' deploy/kind/attacker.yaml)
refuse "the label can't be taken off" "denied the request" k label --overwrite namespace banking casa.io/injection-
refuse "a workload's Secret can't be written" "denied the request" \
  k -n banking patch secret casa-workload-agent --type=merge -p '{"stringData": {"client-secret": "cs_mine"}}'
refuse "nor deleted" "denied the request" k -n banking delete secret casa-workload-agent
refuse "a policy can't be turned to another workload" "can't be changed" \
  k -n banking patch casap bank --type=merge -p '{"spec": {"targetRef": {"name": "agent"}}}'
refuse "no port of a guarded pod is forwarded" "denied the request" \
  timeout 20 kubectl --context "$context" -n banking port-forward deploy/bank 18101:8101
if [[ $mode == cilium ]]; then
  agent=$(k -n banking get pod -l app.kubernetes.io/name=agent -o jsonpath='{.items[0].metadata.name}')
  refuse "nobody gets a shell beside the credentials" "denied the request" \
    k -n banking exec "$agent" -c casa-authorize -- casa --version
  refuse "nor a debugging container" "denied the request" \
    k -n banking debug "$agent" --image=casa-demo:e2e --image-pull-policy=Never --target=casa-authorize -- sleep 1
  k -n banking get pod "$agent" -o json >"$work/agent.json"
  if grep -q '"restartPolicy": "Always"' "$work/agent.json" && grep -q casa-sidecar "$work/agent.json"; then
    held "the sidecars are native ones"
  else
    broke "the sidecars are no native ones"
  fi
fi

say "without a policy a workload reaches nothing"
k -n banking delete casap client
if until_done 60 bash -c "! kubectl --context $context -n banking exec deploy/client -c client -- timeout 10 \
  python client.py --agent-url http://agent:8100/ --prompt 'What is my balance?'"; then
  held "the client reaches the agent no more"
else
  broke "the client still reaches the agent"
fi
h upgrade demo deploy/charts/casa-demo --namespace casa-demo --reuse-values
k -n banking wait --for=condition=Ready casap/client --timeout=2m
if until_done 60 ask --prompt "$balance"; then held "with its policy it does again"; else broke "its policy does not help"; fi

# --- when parts are gone -------------------------------------------------------------------------

say "while the runtime is away nothing passes"
k -n casa-system scale deploy/casa-runtime --replicas=0
k -n casa-system wait --for=delete pod -l app.kubernetes.io/component=runtime --timeout=2m
before=$(ledger)
# What was introspected before passes for 30 s at most; a prompt never seen needs a new token at once.
refuse "a new prompt" "" ask --prompt "$transfer again"
if (($(ledger) == before)); then held "the bank changed nothing"; else broke "the bank changed something"; fi
k -n casa-system scale deploy/casa-runtime --replicas=2
k -n casa-system rollout status deploy/casa-runtime --timeout=5m
if until_done 90 ask --prompt "$balance"; then held "it passes again by itself"; else broke "nothing passes any more"; fi

say "while no injector answers no pod starts"
k -n casa-system scale deploy/casa-injector --replicas=0
k -n casa-system wait --for=delete pod -l app.kubernetes.io/component=injector --timeout=2m
refuse "a pod in the system's namespace" "failed calling webhook" \
  k -n banking run late --image=casa-demo:e2e --dry-run=server
expect "a pod elsewhere is none of CASA's business" k -n default run late --image=casa-demo:e2e --dry-run=server
k -n casa-system scale deploy/casa-injector --replicas=2
k -n casa-system rollout status deploy/casa-injector --timeout=5m

# --- taking it away ------------------------------------------------------------------------------

say "uninstall"
expect "the example goes" h uninstall demo --namespace casa-demo --wait --timeout 5m
k wait --for=delete namespace/banking --timeout=5m
expect "CASA goes" h uninstall casa --namespace casa-system --wait --timeout 5m
if k get mutatingwebhookconfiguration,validatingwebhookconfiguration -o name | grep -q casa-injector; then
  broke "a webhook is left, and would refuse every pod"
else
  held "no webhook is left"
fi

printf '\n%s expectations held, %s failed\n' "$passed" "$failed"
((failed == 0))
