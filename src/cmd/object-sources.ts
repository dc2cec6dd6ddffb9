import type { Source } from '../krt/index.ts';
import type { KubeObject } from '../kube/types/meta.ts';
import type { ObjectSources } from './sources.ts';

/** The source of each kind. Whoever sets an object has checked that its kind and shape belong together. */
export function objectSources(sources: ObjectSources): Readonly<Record<string, Source<KubeObject>>> {
  const table = {
    GatewayClass: sources.classes,
    Gateway: sources.gateways,
    HTTPRoute: sources.httpRoutes,
    GRPCRoute: sources.grpcRoutes,
    TLSRoute: sources.tlsRoutes,
    TCPRoute: sources.tcpRoutes,
    UDPRoute: sources.udpRoutes,
    ReferenceGrant: sources.referenceGrants,
    Service: sources.services,
    EndpointSlice: sources.endpointSlices,
    Namespace: sources.namespaces,
    Node: sources.nodes,
    Secret: sources.secrets,
    ConfigMap: sources.configMaps,
    BackendTLSPolicy: sources.backendTlsPolicies,
    ListenerSet: sources.listenerSets,
    XListenerSet: sources.xListenerSets,
    GatewayParameters: sources.gatewayParameters,
    TrafficPolicy: sources.trafficPolicies,
    Backend: sources.backends,
    DirectResponse: sources.directResponses,
    AuthorizationPolicy: sources.authorizationPolicies,
    ServiceEntry: sources.serviceEntries,
    WorkloadEntry: sources.workloadEntries,
    DestinationRule: sources.destinationRules,
    Pod: sources.pods,
    Ingress: sources.ingresses,
    IngressClass: sources.ingressClasses,
    InferencePool: sources.inferencePools,
    RequestAuthentication: sources.requestAuthentications,
    Telemetry: sources.telemetries,
  };
  return table as Readonly<Record<string, unknown>> as Readonly<Record<string, Source<KubeObject>>>;
}
