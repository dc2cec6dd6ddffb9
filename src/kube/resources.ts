// The kinds that we watch or write: one constant each, typed by the object. A typed call is `client.get(HTTPRoutes, 'demo/echo')`.
import type { Telemetry } from './types/istio-telemetry.ts';
import type {
  ConfigMap,
  CustomResourceDefinition,
  Deployment,
  EndpointSlice,
  HorizontalPodAutoscaler,
  Lease,
  Namespace,
  Node,
  Pod,
  PodDisruptionBudget,
  Secret,
  Service,
  ServiceAccount,
  TokenReview,
} from './types/core.ts';
import type {
  BackendTLSPolicy,
  Gateway,
  GatewayClass,
  GRPCRoute,
  HTTPRoute,
  ListenerSet,
  ReferenceGrant,
  TCPRoute,
  TLSRoute,
  UDPRoute,
} from './types/gateway-api.ts';
import type { XListenerSet } from './types/gateway-api-legacy.ts';
import type { Ingress, IngressClass } from './types/ingress.ts';
import type { InferencePool } from './types/inference.ts';
import type { DestinationRule, ServiceEntry, WorkloadEntry } from './types/istio-networking.ts';
import type { AuthorizationPolicy, RequestAuthentication } from './types/istio-security.ts';
import type { KubeObject } from './types/meta.ts';

/** A kind as the API server serves it. `T` is what a call with this resource returns. */
export interface Resource<out T extends KubeObject = KubeObject> {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly plural: string;
  readonly namespaced: boolean;
  /** Never set: carries the type. */
  readonly object?: T;
}

/** `v1` or `group/version`. */
export function apiVersionOf(r: Resource): string {
  return r.group === '' ? r.version : `${r.group}/${r.version}`;
}

/** `plural.group`: the name of its CustomResourceDefinition, and how messages name the kind. */
export function resourceName(r: Resource): string {
  return r.group === '' ? r.plural : `${r.plural}.${r.group}`;
}

const table: Resource[] = [];

/** Every resource of this file. */
export const resources: readonly Resource[] = table;

function define<T extends KubeObject>(group: string, version: string, kind: string, plural: string, scope?: 'Cluster'): Resource<T> {
  const resource: Resource<T> = Object.freeze({ group, version, kind, plural, namespaced: scope !== 'Cluster' });
  table.push(resource);
  return resource;
}

export const Services = define<Service>('', 'v1', 'Service', 'services');
export const EndpointSlices = define<EndpointSlice>('discovery.k8s.io', 'v1', 'EndpointSlice', 'endpointslices');
export const Namespaces = define<Namespace>('', 'v1', 'Namespace', 'namespaces', 'Cluster');
export const Secrets = define<Secret>('', 'v1', 'Secret', 'secrets');
export const ConfigMaps = define<ConfigMap>('', 'v1', 'ConfigMap', 'configmaps');
export const Pods = define<Pod>('', 'v1', 'Pod', 'pods');
export const Nodes = define<Node>('', 'v1', 'Node', 'nodes', 'Cluster');
export const ServiceAccounts = define<ServiceAccount>('', 'v1', 'ServiceAccount', 'serviceaccounts');
export const Deployments = define<Deployment>('apps', 'v1', 'Deployment', 'deployments');
export const HorizontalPodAutoscalers = define<HorizontalPodAutoscaler>(
  'autoscaling',
  'v2',
  'HorizontalPodAutoscaler',
  'horizontalpodautoscalers',
);
export const PodDisruptionBudgets = define<PodDisruptionBudget>('policy', 'v1', 'PodDisruptionBudget', 'poddisruptionbudgets');
export const Leases = define<Lease>('coordination.k8s.io', 'v1', 'Lease', 'leases');
export const TokenReviews = define<TokenReview>('authentication.k8s.io', 'v1', 'TokenReview', 'tokenreviews', 'Cluster');
export const CustomResourceDefinitions = define<CustomResourceDefinition>(
  'apiextensions.k8s.io',
  'v1',
  'CustomResourceDefinition',
  'customresourcedefinitions',
  'Cluster',
);

export const Ingresses = define<Ingress>('networking.k8s.io', 'v1', 'Ingress', 'ingresses');
export const IngressClasses = define<IngressClass>('networking.k8s.io', 'v1', 'IngressClass', 'ingressclasses', 'Cluster');

const gatewayApi = 'gateway.networking.k8s.io';
export const GatewayClasses = define<GatewayClass>(gatewayApi, 'v1', 'GatewayClass', 'gatewayclasses', 'Cluster');
export const Gateways = define<Gateway>(gatewayApi, 'v1', 'Gateway', 'gateways');
export const HTTPRoutes = define<HTTPRoute>(gatewayApi, 'v1', 'HTTPRoute', 'httproutes');
export const GRPCRoutes = define<GRPCRoute>(gatewayApi, 'v1', 'GRPCRoute', 'grpcroutes');
export const TLSRoutes = define<TLSRoute>(gatewayApi, 'v1', 'TLSRoute', 'tlsroutes');
export const TCPRoutes = define<TCPRoute>(gatewayApi, 'v1', 'TCPRoute', 'tcproutes');
export const UDPRoutes = define<UDPRoute>(gatewayApi, 'v1', 'UDPRoute', 'udproutes');
export const ReferenceGrants = define<ReferenceGrant>(gatewayApi, 'v1beta1', 'ReferenceGrant', 'referencegrants');
export const BackendTLSPolicies = define<BackendTLSPolicy>(gatewayApi, 'v1', 'BackendTLSPolicy', 'backendtlspolicies');
export const ListenerSets = define<ListenerSet>(gatewayApi, 'v1', 'ListenerSet', 'listenersets');
export const XListenerSets = define<XListenerSet>('gateway.networking.x-k8s.io', 'v1alpha1', 'XListenerSet', 'xlistenersets');

const kgateway = 'gateway.kgateway.dev';
export const TrafficPolicies = define(kgateway, 'v1alpha1', 'TrafficPolicy', 'trafficpolicies');
export const ListenerPolicies = define(kgateway, 'v1alpha1', 'ListenerPolicy', 'listenerpolicies');
export const HTTPListenerPolicies = define(kgateway, 'v1alpha1', 'HTTPListenerPolicy', 'httplistenerpolicies');
export const BackendConfigPolicies = define(kgateway, 'v1alpha1', 'BackendConfigPolicy', 'backendconfigpolicies');
export const Backends = define(kgateway, 'v1alpha1', 'Backend', 'backends');
export const DirectResponses = define(kgateway, 'v1alpha1', 'DirectResponse', 'directresponses');
export const GatewayExtensions = define(kgateway, 'v1alpha1', 'GatewayExtension', 'gatewayextensions');
export const GatewayParameters = define(kgateway, 'v1alpha1', 'GatewayParameters', 'gatewayparameters');

export const InferencePools = define<InferencePool>('inference.networking.k8s.io', 'v1', 'InferencePool', 'inferencepools');

export const Telemetries = define<Telemetry>('telemetry.istio.io', 'v1', 'Telemetry', 'telemetries');

const istioNetworking = 'networking.istio.io';
export const ServiceEntries = define<ServiceEntry>(istioNetworking, 'v1', 'ServiceEntry', 'serviceentries');
export const WorkloadEntries = define<WorkloadEntry>(istioNetworking, 'v1', 'WorkloadEntry', 'workloadentries');
export const DestinationRules = define<DestinationRule>(istioNetworking, 'v1', 'DestinationRule', 'destinationrules');
const istioSecurity = 'security.istio.io';
export const AuthorizationPolicies = define<AuthorizationPolicy>(istioSecurity, 'v1', 'AuthorizationPolicy', 'authorizationpolicies');
export const RequestAuthentications = define<RequestAuthentication>(istioSecurity, 'v1', 'RequestAuthentication', 'requestauthentications');

/** The resource of an object's group and kind; the version is not looked at. */
export function resourceOf(group: string, kind: string): Resource | undefined {
  return resources.find((r) => r.group === group && r.kind === kind);
}
