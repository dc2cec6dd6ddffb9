/**
 * The controller as one diagram: what is watched, what it comes to, what goes out.
 *
 *   Sources ─> meshApi, with waypoints: whose waypoint serves what
 *   Sources ─> gatewayApi ─> secured ─> observed ─> xdsResources ─> proxies
 *      ▲           │             │
 *      │           └─────────────┴─> statuses ─> API server, by the leader
 *      └── rejections, deploy problems, connected proxies
 */
import { type GatewayApi, gatewayApi } from '../gateway/collections.ts';
import { everyNamespace } from '../gateway/delegation.ts';
import type { GatewayView } from '../gateway/gateway.ts';
import { proxyName } from '../deploy/proxy-deployment.ts';
import { ingressCollections } from '../gateway/ingress-collections.ts';
import { type IngressProblem, ingressProblems, ingressStatuses } from '../gateway/ingress-status.ts';
import type { Gateway } from '../kube/types/gateway-api.ts';
import { meshConfigMap } from '../istio/mesh.ts';
import { meshKey } from '../istio/security.ts';
import { type Wanted, wantedObjects } from '../gateway/wanted.ts';
import type { RejectedObject } from '../gateway/status.ts';
import { gatewayApiStatuses } from '../gateway/status-collections.ts';
import { listenerSetObjects } from '../gateway/listenerset.ts';
import { refKey } from '../ir/object-ref.ts';
import type { StatusReport } from '../ir/report.ts';
import { type Collection, type Graph, flatMap, join } from '../krt/index.ts';
import { type MeshApi, meshApi } from '../waypoint/collections.ts';
import { sendersOf } from '../waypoint/senders.ts';
import { type XdsResource, rejectionKey, xdsResourceKey } from '../xds/resource.ts';
import { xdsResources } from '../xds/translate/collections.ts';
import type { Binding, Bound } from '../xds/translate/listener.ts';
import { endpointPlaces } from './endpoint-places.ts';
import { meshConfigs, secured } from './security.ts';
import { observed } from './telemetry.ts';
import type { Sources } from './sources.ts';
import { trafficRules } from './traffic.ts';

/** What differs between a cluster and a folder. */
export interface Surroundings {
  readonly bind: (l: Bound) => Binding;
  /** Serve waypoints: without them the mesh is not looked at. */
  readonly waypoints: boolean;
  /** Serve InferencePools: without them nobody looks at Pods, unless waypoints do. */
  readonly inference?: boolean;
  /** Of the controller: where Gateways of IngressClasses are made; `kgateway-system` if absent. */
  readonly namespace?: string;
  /** Where Istio keeps its MeshConfig; `istio-system` if absent. */
  readonly istioNamespace?: string;
  /** Try routes by their weights first (kgateway.dev/route-weight); not if absent. */
  readonly weightedRoutes?: boolean;
  /** Namespace of references by delegation label that means every namespace; `all` if absent. */
  readonly delegationWildcardNamespace?: string;
  /** Where proxies that end HBONE find their certificate; the folder in their Pods if absent. */
  readonly identityFolder?: string;
  /** Addresses of the proxies of each Gateway. */
  readonly addresses: (
    gateways: Collection<GatewayView>,
  ) => Collection<{ readonly gateway: string; readonly addresses: readonly string[] }>;
}

export interface Wiring {
  readonly wanted: Wanted;
  /** Key sets of token issuers. */
  readonly wantedJwks: Collection<{ readonly key: string }>;
  readonly api: GatewayApi;
  /** Absent without waypoints. */
  readonly mesh?: MeshApi;
  readonly resources: Collection<XdsResource>;
  readonly statuses: Collection<StatusReport>;
  /** Gateways of IngressClasses, which are to be made. */
  readonly ingressGateways: Collection<Gateway>;
  /** What of Ingresses does not work, by key of the Ingress: they have no conditions to say it. */
  readonly ingressProblems: Collection<IngressProblem>;
}

/** Connects everything. Nothing runs before the sources are synced. */
export function wire(g: Graph, sources: Sources, surroundings: Surroundings): Wiring {
  const ingress = ingressCollections(g, sources, surroundings.namespace ?? 'kgateway-system');
  const listenerSets = listenerSetObjects(g, sources);
  const inputs = {
    ...sources,
    listenerSets: join(g, { name: 'AllListenerSets' }, [listenerSets, ingress.listenerSets]),
    ingressRoutes: ingress.routes,
  };
  const istioNamespace = surroundings.istioNamespace ?? 'istio-system';
  const wanted = wantedObjects(g, inputs, [`${istioNamespace}/${meshConfigMap}`]);
  const mesh = surroundings.waypoints ? meshApi(g, sources) : undefined;
  const options = {
    weightedRoutes: surroundings.weightedRoutes ?? false,
    delegationWildcardNamespace: surroundings.delegationWildcardNamespace ?? everyNamespace,
  };
  const meshConfig = meshConfigs(g, sources, istioNamespace);
  const api = gatewayApi(g, inputs, mesh, surroundings.inference ? sources : undefined, options);
  const { policyStatuses, wantedJwks, ...authorized } = secured(g, sources, api, mesh, meshConfig);
  const senders = sendersOf(
    g,
    { gateways: api.gateways, pods: sources.pods, mesh, meshConfig: (ctx) => ctx.fetchOne(meshConfig, meshKey) },
    proxyName,
  );
  const { telemetryStatuses, ...told } = observed(g, sources, { ...api, ...authorized }, mesh, meshConfig);
  const { trafficStatuses, ...treated } = trafficRules(g, sources, api, mesh, (ctx) => ctx.fetchOne(meshConfig, meshKey));
  const resources = xdsResources(
    g,
    {
      ...api,
      ...authorized,
      ...told,
      ...senders,
      ...treated,
      localized: endpointPlaces(g, sources.nodes, mesh?.meshWorkloads, api),
    },
    surroundings.bind,
    surroundings.identityFolder,
  );
  const rejected = rejectedObjects(g, sources, resources).index('object', (r) => [refKey(r.object)]);
  const addresses = surroundings.addresses(api.gateways);
  // What was made of Ingresses has no status of its own.
  const statuses = gatewayApiStatuses(g, { ...inputs, listenerSets }, api, { addresses, rejected, deployProblems: sources.deployProblems });
  const ofIngresses = ingressStatuses(g, ingress.views, addresses);
  const all = join(g, { name: 'AllStatuses' }, [statuses, policyStatuses, telemetryStatuses, trafficStatuses, ofIngresses]);
  const problems = ingressProblems(g, { views: ingress.views, ...api, rejected });
  return {
    wanted,
    wantedJwks,
    api,
    ...(mesh && { mesh }),
    resources,
    statuses: all,
    ingressGateways: ingress.gateways,
    ingressProblems: problems,
  };
}

/** What proxies refused, on the objects that it was made from. A rejection of a version that is history by now says nothing. */
function rejectedObjects(
  g: Graph,
  sources: Sources,
  resources: Collection<XdsResource>,
): Collection<RejectedObject & { proxy: string; resource: string }> {
  const key = (r: RejectedObject & { proxy: string; resource: string }): string => `${r.proxy}|${r.resource}|${refKey(r.object)}`;
  return flatMap(g, sources.rejections, { name: 'RejectedObjects', key }, (ctx, rejection) => {
    const resource = ctx.fetchOne(resources, xdsResourceKey(rejection));
    if (!resource || resource.version !== rejection.version) return [];
    const { proxy, message } = rejection;
    return resource.origins.map((object) => ({ object, message, proxy, resource: rejectionKey(rejection) }));
  });
}
