#!/usr/bin/env bash
# Installs the charts into the cluster of KUBECONFIG, as a user would; arguments go to helm for the chart kgateway.
set -euo pipefail
cd "$(dirname "$0")/.."
registry=${IMAGE_REGISTRY:-$(sed -n 's/^IMAGE_REGISTRY=//p' scripts/images.env)}
namespace=kgateway-system

command -v helm >/dev/null || {
  echo "error: there is no helm" >&2
  echo "next: make lab (which builds one), or https://helm.sh/docs/intro/install" >&2
  exit 1
}
before=$(helm status -n $namespace kgateway >/dev/null 2>&1 && echo yes || echo no)
helm upgrade --install --create-namespace -n $namespace kgateway-crds charts/kgateway-crds >&2
helm upgrade --install -n $namespace kgateway charts/kgateway --set image.registry="$registry" "$@" >&2
# The images keep their tag while one develops: Pods of before still run the image of before.
[[ $before == no ]] || kubectl -n $namespace rollout restart deployment/kgateway >&2
kubectl -n $namespace rollout status deployment/kgateway --timeout=120s >&2 || {
  kubectl -n $namespace get pods -o wide >&2
  kubectl -n $namespace logs deployment/kgateway --tail=30 >&2 || true
  echo "error: the controller did not become ready" >&2
  echo "next: kubectl -n $namespace describe pods" >&2
  exit 1
}
kubectl wait gatewayclass/kgateway --for=condition=Accepted --timeout=60s >&2
