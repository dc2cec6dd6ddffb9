/**
 * The Gateway API as collections.
 *
 *   GatewayClass ─┐
 *   Secret ───────┼─> Gateways ─────> ProxyListeners, Certificates, boundaries ─┐
 *   Gateway ──────┘       │                                                     ├─> HostRoutes, grouped by scope
 *   routes ─────> RouteParents ──┐ (routes.ts)                                  │
 *       ├───────> RouteRules ────┴──> ServedRoutes (with TrafficPolicies) ──────┘─> ClusterUses, by Gateway and cluster
 *       └───────> TLS, TCP, UDP: chains of ProxyListeners (l4-collections.ts)
 *   Service ──────────┘ └─> Clusters <── ClusterUses, BackendTLSPolicies
 *   EndpointSlice ──────────> Endpoints of those clusters
 *   BoundServices ──> ServicePorts ──> ServiceScopes, WaypointListeners (service-scopes.ts)
 */
import type { ClientCertificate, Cluster, Endpoints } from '../ir/backend.ts';
import type { KeyPair, ProxyListener, TlsCertificate } from '../ir/listener.ts';
import type { RoutePolicies } from '../ir/policy.ts';
import type { StatusReport } from '../ir/report.ts';
import type { BoundService } from '../ir/mesh.ts';
import { isWaypointChain } from '../ir/names.ts';
import type { SharedCluster, UdpListener } from '../ir/tcp.ts';
import type { HostRoutes } from '../ir/route.ts';
import type { ServedWorkload, ServiceScope, WaypointListenerOfGateway } from '../ir/waypoint.ts';
import { type Collection, type Graph, anyOf, flatMap, join, map } from '../krt/index.ts';
import type { ConfigMap, EndpointSlice, Namespace, Secret, Service } from '../kube/types/core.ts';
import type { BackendTLSPolicy, Gateway, GatewayClass, ReferenceGrant } from '../kube/types/gateway-api.ts';
import type { KubeObject } from '../kube/types/meta.ts';
import { attachmentKeys } from '../policy/attachment.ts';
import type { Policy } from '../policy/plugin.ts';
import { parseTrafficPolicy } from '../policy/trafficpolicy/parse.ts';
import type { TrafficPolicy } from '../policy/trafficpolicy/schema.ts';
import type { AttachmentInputs } from './attachment.ts';
import { kgatewayBackends } from './backend.ts';
import { type BackendTlsPolicies, targetKey, translateBackendTls, withBackendTls } from './backendtlspolicy.ts';
import { backendTlsStatuses } from './backendtlspolicy-status.ts';
import { type Slices, endpointsOf, sharedEndpointsOf, slicesOf } from './endpoints.ts';
import { type GatewayView, certificatesOf, secretName, translateGateway } from './gateway.ts';
import { hostOwnership, listenerBoundaries } from './host-ownership.ts';
import { type InferenceInputs, inferenceCollections } from './inference-collections.ts';
import type { WantedPods } from './inferencepool-status.ts';
import { type KgatewayInputs, type KgatewayKinds, kgatewayKinds } from './kgateway-kinds.ts';
import { headerSecrets } from './header-secret.ts';
import { l4Collections } from './l4-collections.ts';
import { type ListenerSetObject, listenerSetsOf } from './listenerset.ts';
import { grantsOf } from './referencegrant.ts';
import type { RuleInputs, RuleOutcome } from './route-rule.ts';
import { type RouteParents, type RouteRules } from './route.ts';
import { type RouteInputs, routeCollections } from './routes.ts';
import { type ClusterUse, type ServedRoute, hostRoutesKey, serveRoute } from './served-route.ts';
import { serviceBackends } from './service-backend.ts';
import { serviceParents } from './service-parent.ts';
import { type ServicePort, type UndeclaredCluster, servicePorts, serviceScopes } from './service-scopes.ts';
import { tlsSecrets } from './tls-secret.ts';
import { type ServiceView, namespaceViews, serviceViews } from './views.ts';

/** What is watched. */
export interface GatewayApiInputs extends RouteInputs, KgatewayInputs {
  readonly classes: Collection<GatewayClass>;
  readonly gateways: Collection<Gateway>;
  readonly referenceGrants: Collection<ReferenceGrant>;
  readonly services: Collection<Service>;
  readonly endpointSlices: Collection<EndpointSlice>;
  readonly namespaces: Collection<Namespace>;
  /** Only those that are wanted; see wanted.ts. */
  readonly secrets: Collection<Secret>;
  /** Only those that are wanted. */
  readonly configMaps: Collection<ConfigMap>;
  readonly backendTlsPolicies: Collection<BackendTLSPolicy>;
  readonly listenerSets: Collection<ListenerSetObject>;
  readonly gatewayParameters: Collection<KubeObject>;
  readonly trafficPolicies: Collection<TrafficPolicy>;
}

/** What comes of it, for proxies and for statuses. */
export interface GatewayApi {
  readonly gateways: Collection<GatewayView>;
  readonly listeners: Collection<ProxyListener>;
  readonly udpListeners: Collection<UdpListener>;
  readonly certificates: Collection<TlsCertificate>;
  /** By key of the Secret; a Secret that is no key pair is left out. */
  readonly keyPairs: Collection<KeyPair>;
  /** By `scope|cluster`. */
  readonly clusterUses: Collection<ClusterUse>;
  readonly clusters: Collection<Cluster>;
  readonly sharedClusters: Collection<SharedCluster>;
  readonly endpoints: Collection<Endpoints>;
  readonly services: Collection<ServiceView>;
  readonly slices: Slices;
  /** By Gateway. */
  readonly clientCertificates: Collection<ClientCertificate>;
  readonly hostRoutes: Collection<HostRoutes>;
  readonly waypointListeners: Collection<WaypointListenerOfGateway>;
  readonly serviceScopes: Collection<ServiceScope>;
  /** By `scope|cluster`. */
  readonly undeclaredClusters: Collection<UndeclaredCluster>;
  /** For the writer of statuses. */
  readonly rules: Collection<RouteRules<RuleOutcome>>;
  readonly parents: Collection<RouteParents>;
  readonly served: Collection<ServedRoute>;
  readonly policies: Collection<Policy<RoutePolicies>>;
  readonly kgateway: KgatewayKinds;
  readonly backendTlsReports: Collection<StatusReport>;
  readonly poolReports: Collection<StatusReport>;
  readonly wantedPods: Collection<WantedPods>;
}

/** What the mesh has for waypoints. */
export interface MeshInputs {
  /** The services that waypoints of ours serve. */
  readonly boundServices: Collection<BoundService>;
  /** The workloads that they serve under their own addresses. */
  readonly servedWorkloads: Collection<ServedWorkload>;
  /** Of clusters with discovery `mesh`, by name. */
  readonly serviceEntryEndpoints: Collection<Endpoints>;
}

/** What an administrator decides about routes. */
export type RouteOptions = Pick<RuleInputs, 'weightedRoutes'> & Pick<AttachmentInputs, 'delegationWildcardNamespace'>;

/** Builds the collections. Without a mesh, Gateways of classes of waypoints are refused; without pools, references to InferencePools are. */
export function gatewayApi(
  g: Graph,
  inputs: GatewayApiInputs,
  mesh: MeshInputs | undefined,
  pools: InferenceInputs | undefined,
  { weightedRoutes, delegationWildcardNamespace }: RouteOptions,
): GatewayApi {
  const grants = grantsOf(inputs.referenceGrants);
  const services = serviceViews(g, inputs.services);
  const namespaces = namespaceViews(g, inputs.namespaces);
  const kgateway = kgatewayKinds(g, inputs);

  const listenerSets = listenerSetsOf(inputs.listenerSets, inputs.namespaces);
  const ca = { configMaps: inputs.configMaps, secrets: inputs.secrets, grants };
  const { keyPairs, states } = tlsSecrets(g, inputs.secrets);

  const gateways = map(g, inputs.gateways, { name: 'Gateways' }, (ctx, gateway) =>
    translateGateway(
      ctx,
      {
        classes: inputs.classes,
        parameters: inputs.gatewayParameters,
        listenerSets,
        ...ca,
        tlsSecrets: states,
        waypoints: mesh !== undefined,
      },
      gateway,
    ),
  );
  const certificates = flatMap(g, gateways, { name: 'Certificates', key: (c: TlsCertificate) => `${c.scope}|${c.name}` }, (_ctx, view) =>
    certificatesOf(view),
  );

  const policies = map(g, inputs.trafficPolicies, { name: 'TrafficPolicies' }, (ctx, policy) =>
    parseTrafficPolicy(policy, headerSecrets(ctx, ca, policy.metadata.namespace ?? '')),
  );
  const policiesByTarget = policies.index('target', attachmentKeys);

  const inference = inferenceCollections(g, pools, services);
  const bound = mesh?.boundServices ?? join(g, { name: 'BoundServices' }, []);
  const attachment = {
    gateways,
    listenerSets: inputs.listenerSets,
    namespaces,
    services: serviceParents(bound),
    delegationWildcardNamespace,
  };
  const backendTls = map(g, inputs.backendTlsPolicies, { name: 'BackendTLSPolicies' }, (ctx, policy) =>
    translateBackendTls(ctx, ca, policy),
  );
  const backendTlsPolicies = { collection: backendTls, byTarget: backendTls.index('target', (p) => p.targets.map(targetKey)) };
  const kinds = [serviceBackends(services), kgatewayBackends(kgateway.backends), inference.backends];
  const routes = routeCollections(
    g,
    inputs,
    { kinds, grants, directResponses: kgateway.directResponses, weightedRoutes, backendTls: backendTlsPolicies },
    attachment,
  );
  const { rules, parents } = routes;
  const ports = servicePorts(g, bound, { services, backendTls: backendTlsPolicies }, routes);
  const l4 = l4Collections(g, gateways, routes.l4Rules, routes.l4Parents);
  const served = map(g, parents, { name: 'ServedRoutes' }, (ctx, route) =>
    serveRoute(ctx, { rules, fulfilled: routes.fulfilled, gateways, policies, policiesByTarget }, route),
  );

  const hostsAt = (name: string, atWaypoint: boolean) =>
    flatMap(g, served, { name, key: hostRoutesKey }, (_ctx, s) => s.hosts.filter((h) => isWaypointChain(h.chain) === atWaypoint));
  const boundaries = flatMap(g, gateways, { name: 'ListenerBoundaries', key: hostRoutesKey }, (_ctx, view) => [
    ...listenerBoundaries(view),
    ...hostOwnership(view),
  ]);
  const hostRoutes = join(g, { name: 'HostRoutes' }, [hostsAt('IngressHosts', false), boundaries]);
  const waypoints = serviceScopes(g, {
    ports,
    workloads: mesh?.servedWorkloads ?? join(g, { name: 'ServedWorkloads' }, []),
    gateways,
    bindingsAt: l4.bindingsAt,
    routes: hostsAt('WaypointHosts', true),
    policies,
    policiesByTarget,
  });

  const usesOfRoutes = flatMap(
    g,
    served,
    { name: 'RouteClusterUses', key: (u: ClusterUse) => `${u.scope}|${u.cluster}|${u.route}` },
    (_ctx, s) => s.uses,
  );
  const uses = join(g, { name: 'ClusterUses' }, [usesOfRoutes, l4.uses]);
  const clusterUses = anyOf(
    g,
    { name: 'ClustersByGateway' },
    join(g, { name: 'AllClusterUses' }, [uses, defaultUses(g, ports)]).index('cluster of scope', (u) => [`${u.scope}|${u.cluster}`]),
  );
  const allRules = join<RouteRules<RuleOutcome>>(g, { name: 'AllRouteRules' }, [rules, routes.l4Rules]);
  const clusters = usedClusters(g, allRules, ports, backendTlsPolicies);
  const clientCertificates = map(g, gateways, { name: 'ClientCertificates' }, (_ctx, view): ClientCertificate | undefined =>
    view.clientCertificate === undefined ? undefined : { scope: view.key, secret: secretName(view.clientCertificate) },
  );
  const backendTlsReports = backendTlsStatuses(g, {
    policies: backendTlsPolicies,
    services,
    backends: kgateway.backends,
    uses,
    usesByCluster: uses.index('cluster', (u) => [u.cluster]),
  });
  const slices = slicesOf(inputs.endpointSlices);
  const { listeners, udpListeners, sharedClusters } = l4;
  const endpoints = join(g, { name: 'Endpoints' }, [
    map(g, clusters, { name: 'ServiceEndpoints' }, (ctx, cluster) => endpointsOf(ctx, { slices, services }, cluster)),
    map(g, sharedClusters, { name: 'SharedEndpoints' }, (ctx, cluster) => sharedEndpointsOf(ctx, { slices, services }, cluster)),
    ...(mesh ? [mesh.serviceEntryEndpoints] : []),
    inference.endpoints,
  ]);

  return {
    gateways,
    listeners,
    udpListeners,
    certificates,
    keyPairs,
    clusterUses,
    clusters,
    sharedClusters,
    endpoints,
    services,
    slices,
    clientCertificates,
    hostRoutes,
    ...waypoints,
    rules: allRules,
    parents: join(g, { name: 'AllRouteParents' }, [parents, routes.l4Parents]),
    served,
    policies,
    kgateway,
    backendTlsReports,
    ...inference.reported(served),
  };
}

/** What the default routes of waypoints lead to. */
function defaultUses(g: Graph, ports: Collection<ServicePort>): Collection<ClusterUse> {
  const key = (u: ClusterUse): string => `${u.scope}|${u.cluster}|${u.route}`;
  return map(g, ports, { name: 'DefaultClusterUses', key }, (_ctx, p) => ({ scope: p.scope, cluster: p.cluster.name, route: p.chain }));
}

/** Every cluster that some rule or a waypoint leads to, once. */
function usedClusters(
  g: Graph,
  rules: Collection<RouteRules<RuleOutcome>>,
  ports: Collection<ServicePort>,
  tls: BackendTlsPolicies,
): Collection<Cluster> {
  const references = flatMap(
    g,
    rules,
    { name: 'ClusterReferences', key: (r: { route: string; cluster: Cluster }) => `${r.route}|${r.cluster.name}` },
    (_ctx, route) => {
      const clusters = new Map(route.rules.flatMap((r) => r.clusters).map((c) => [c.name, c]));
      return [...clusters.values()].map((cluster) => ({ route: route.key, cluster }));
    },
  );
  const ofWaypoints = map(g, ports, { name: 'DefaultClusters' }, (_ctx, p) => ({ route: p.key, cluster: p.cluster }));
  const byName = anyOf(
    g,
    { name: 'ClusterReferencesByName' },
    join(g, { name: 'AllClusterReferences' }, [references, ofWaypoints]).index('name', (r) => [r.cluster.name]),
  );
  return map(g, byName, { name: 'Clusters' }, (ctx, { cluster }) => withBackendTls(ctx, tls, cluster));
}
