#!/usr/bin/env bash
# The mesh profiles of the Gateway API conformance suite, with one waypoint for all namespaces of the suite. Needs the charts installed
# (scripts/install.sh). Where there is no ztunnel, as in the lab, its test double takes its place (needs root). Arguments go to the suite.
set -euo pipefail
cd "$(dirname "$0")/../.."
KUBECONFIG=$(test/lab/lab kubeconfig)
export KUBECONFIG
# Also where there is the class: it stays behind when waypoints are turned off.
helm -n kgateway-system upgrade kgateway charts/kgateway --reuse-values --set waypoint.enabled=true --wait >&2
kubectl wait gatewayclass/kgateway-waypoint --for=condition=Accepted --timeout=60s >&2
kubectl create namespace mesh-waypoint --dry-run=client -o yaml | kubectl apply -f - >&2
kubectl apply -f - >&2 <<'Y'
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: { name: wp, namespace: mesh-waypoint }
spec:
  gatewayClassName: kgateway-waypoint
  listeners: [{ name: proxy, port: 15088, protocol: istio.io/PROXY, allowedRoutes: { namespaces: { from: All } } }]
Y
double=
trap '[[ -z $double ]] || kill "$double"; kubectl delete namespace mesh-waypoint --wait=false >&2' EXIT
kubectl -n mesh-waypoint wait gateway/wp --for=condition=Programmed --timeout=90s >&2
if [[ -z $(kubectl get daemonset -A -l app=ztunnel -o name) ]]; then
  node test/mesh/ztunnel.ts >&2 &
  double=$!
fi
# What the class says it supports is what is tested.
features=$(kubectl get gatewayclass kgateway-waypoint -o jsonpath='{range .status.supportedFeatures[*]}{.name},{end}')
test/lab/lab conformance kgateway-waypoint -conformance-profiles MESH-HTTP,MESH-GRPC -supported-features "${features%,}" \
  -namespace-labels istio.io/dataplane-mode=ambient,istio.io/use-waypoint=wp,istio.io/use-waypoint-namespace=mesh-waypoint "$@"
