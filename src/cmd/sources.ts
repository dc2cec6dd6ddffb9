/** Everything that enters: objects, what proxies say, what the deployer says. The first collections of the graph. */
import type { DeployProblem } from '../deploy/applier.ts';
import type { GatewayParameters } from '../deploy/gatewayparameters.ts';
import type { Jwks } from '../istio/requestauthentication.ts';
import { type Graph, type Source, source } from '../krt/index.ts';
import { sameSpec, sameVersion } from '../kube/reflector.ts';
import type { ConfigMap, EndpointSlice, Namespace, Node, Pod, Secret, Service } from '../kube/types/core.ts';
import type {
  BackendTLSPolicy,
  GRPCRoute,
  Gateway,
  GatewayClass,
  HTTPRoute,
  ListenerSet,
  ReferenceGrant,
  TCPRoute,
  TLSRoute,
  UDPRoute,
} from '../kube/types/gateway-api.ts';
import type { XListenerSet } from '../kube/types/gateway-api-legacy.ts';
import type { Ingress, IngressClass } from '../kube/types/ingress.ts';
import type { InferencePool } from '../kube/types/inference.ts';
import type { DestinationRule, ServiceEntry, WorkloadEntry } from '../kube/types/istio-networking.ts';
import type { AuthorizationPolicy, RequestAuthentication } from '../kube/types/istio-security.ts';
import type { Telemetry } from '../kube/types/istio-telemetry.ts';
import { type KubeObject, keyOf } from '../kube/types/meta.ts';
import type { Backend } from '../policy/backend/schema.ts';
import type { DirectResponse } from '../policy/directresponse/schema.ts';
import type { TrafficPolicy } from '../policy/trafficpolicy/schema.ts';
import { type ConnectedProxy, type Rejection, rejectionKey } from '../xds/resource.ts';

/** Sources of Kubernetes objects. */
export interface ObjectSources {
  readonly classes: Source<GatewayClass>;
  readonly gateways: Source<Gateway>;
  readonly httpRoutes: Source<HTTPRoute>;
  readonly grpcRoutes: Source<GRPCRoute>;
  readonly tlsRoutes: Source<TLSRoute>;
  readonly tcpRoutes: Source<TCPRoute>;
  readonly udpRoutes: Source<UDPRoute>;
  readonly referenceGrants: Source<ReferenceGrant>;
  readonly services: Source<Service>;
  readonly endpointSlices: Source<EndpointSlice>;
  readonly namespaces: Source<Namespace>;
  /** Their labels alone. */
  readonly nodes: Source<Node>;
  readonly secrets: Source<Secret>;
  readonly configMaps: Source<ConfigMap>;
  readonly backendTlsPolicies: Source<BackendTLSPolicy>;
  readonly listenerSets: Source<ListenerSet>;
  readonly xListenerSets: Source<XListenerSet>;
  readonly gatewayParameters: Source<GatewayParameters>;
  readonly trafficPolicies: Source<TrafficPolicy>;
  readonly backends: Source<Backend>;
  readonly directResponses: Source<DirectResponse>;
  /** Of Istio's: the ConfigMap that holds its MeshConfig, and no other. */
  readonly authorizationPolicies: Source<AuthorizationPolicy>;
  /** These of Istio's mesh are empty unless waypoints are enabled. */
  readonly serviceEntries: Source<ServiceEntry>;
  readonly workloadEntries: Source<WorkloadEntry>;
  readonly destinationRules: Source<DestinationRule>;
  /** All with waypoints, else those of InferencePools. */
  readonly pods: Source<Pod>;
  readonly ingresses: Source<Ingress>;
  readonly ingressClasses: Source<IngressClass>;
  /** Empty unless inference is enabled. */
  readonly inferencePools: Source<InferencePool>;
  readonly requestAuthentications: Source<RequestAuthentication>;
  /** Empty unless waypoints are enabled. */
  readonly telemetries: Source<Telemetry>;
}

/** Feedback: it enters at the top like everything else. */
export interface FeedbackSources {
  readonly proxies: Source<ConnectedProxy>;
  readonly rejections: Source<Rejection>;
  readonly deployProblems: Source<DeployProblem>;
  /** Keys of token issuers, fetched as they are wanted. */
  readonly jwks: Source<Jwks>;
}

export type Sources = ObjectSources & FeedbackSources;

/** Creates the sources. Status writes of kinds that have a generation cause no event. */
export function createSources(g: Graph): Sources {
  const objects = <T extends KubeObject>(name: string): Source<T> => source<T>(g, { name, key: keyOf, equals: sameSpec });
  const versioned = <T extends KubeObject>(name: string): Source<T> => source<T>(g, { name, key: keyOf, equals: sameVersion });
  const sources = {
    classes: objects<GatewayClass>('GatewayClass'),
    gateways: objects<Gateway>('Gateway'),
    httpRoutes: objects<HTTPRoute>('HTTPRoute'),
    grpcRoutes: objects<GRPCRoute>('GRPCRoute'),
    tlsRoutes: objects<TLSRoute>('TLSRoute'),
    tcpRoutes: objects<TCPRoute>('TCPRoute'),
    udpRoutes: objects<UDPRoute>('UDPRoute'),
    referenceGrants: objects<ReferenceGrant>('ReferenceGrant'),
    services: versioned<Service>('Service'),
    endpointSlices: versioned<EndpointSlice>('EndpointSlice'),
    namespaces: versioned<Namespace>('Namespace'),
    nodes: versioned<Node>('Node'),
    secrets: versioned<Secret>('Secret'),
    configMaps: versioned<ConfigMap>('ConfigMap'),
    backendTlsPolicies: objects<BackendTLSPolicy>('BackendTLSPolicy'),
    listenerSets: objects<ListenerSet>('ListenerSet'),
    xListenerSets: objects<XListenerSet>('XListenerSet'),
    gatewayParameters: objects<GatewayParameters>('GatewayParameters'),
    trafficPolicies: objects<TrafficPolicy>('TrafficPolicy'),
    backends: objects<Backend>('Backend'),
    directResponses: objects<DirectResponse>('DirectResponse'),
    // Their conditions too: istiod replaces the list, and ours with it.
    authorizationPolicies: versioned<AuthorizationPolicy>('AuthorizationPolicy'),
    // Its addresses come by status.
    serviceEntries: versioned<ServiceEntry>('ServiceEntry'),
    workloadEntries: objects<WorkloadEntry>('WorkloadEntry'),
    destinationRules: objects<DestinationRule>('DestinationRule'),
    pods: versioned<Pod>('Pod'),
    ingresses: objects<Ingress>('Ingress'),
    ingressClasses: objects<IngressClass>('IngressClass'),
    inferencePools: objects<InferencePool>('InferencePool'),
    requestAuthentications: versioned<RequestAuthentication>('RequestAuthentication'),
    telemetries: objects<Telemetry>('Telemetry'),
    proxies: source<ConnectedProxy>(g, { name: 'ConnectedProxy', key: (p) => p.id }),
    rejections: source<Rejection>(g, { name: 'Rejection', key: rejectionKey }),
    deployProblems: source<DeployProblem>(g, { name: 'DeployProblem', key: (p) => p.gateway }),
    jwks: source<Jwks>(g, { name: 'Jwks', key: (j) => j.key }),
  };
  for (const s of [sources.proxies, sources.rejections, sources.deployProblems, sources.jwks]) s.markSynced();
  return sources;
}
