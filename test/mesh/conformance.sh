#!/usr/bin/env bash
# The mesh profiles of the Gateway API conformance suite in the lab, with the test double of ztunnel and one waypoint for all namespaces of the suite.
# Needs the charts installed (scripts/install.sh --set waypoint.enabled=true); arguments go to the suite.
set -euo pipefail
cd "$(dirname "$0")/../.."
KUBECONFIG=$(test/lab/lab kubeconfig)
export KUBECONFIG
kubectl create namespace mesh-waypoint --dry-run=client -o yaml | kubectl apply -f - >&2
kubectl apply -f - >&2 <<'Y'
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: { name: wp, namespace: mesh-waypoint }
spec:
  gatewayClassName: kgateway-waypoint
  listeners: [{ name: proxy, port: 15088, protocol: istio.io/PROXY, allowedRoutes: { namespaces: { from: All } } }]
Y
kubectl -n mesh-waypoint wait gateway/wp --for=condition=Programmed --timeout=90s >&2
node test/mesh/ztunnel.ts >&2 &
trap 'kill %1' EXIT
features=Mesh,HTTPRoute,GRPCRoute,HTTPRouteParentRefPort,HTTPRouteResponseHeaderModification
features+=,HTTPRoute303RedirectStatusCode,HTTPRoute307RedirectStatusCode,HTTPRoute308RedirectStatusCode
features+=,MeshClusterIPMatching,MeshConsumerRoute,MeshHTTPRouteBackendRequestHeaderModification,MeshHTTPRouteNamedRouteRule
features+=,MeshHTTPRouteQueryParamMatching,MeshHTTPRouteRedirectPath,MeshHTTPRouteRedirectPort,MeshHTTPRouteRewritePath,MeshHTTPRouteSchemeRedirect
test/lab/lab conformance kgateway-waypoint -conformance-profiles MESH-HTTP,MESH-GRPC -supported-features "$features" \
  -namespace-labels istio.io/dataplane-mode=ambient,istio.io/use-waypoint=wp,istio.io/use-waypoint-namespace=mesh-waypoint "$@"
