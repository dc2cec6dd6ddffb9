/**
 * What action CUSTOM needs besides its rules: the providers as clusters, at the proxies that ask them.
 *
 *   Mesh ──> ProviderClusters ──> their Endpoints
 *   AuthorizationPolicies, action CUSTOM ──> CustomPlaces, by Gateway ─┬─> uses of those clusters
 *                                                                      └─> providers that meet at one place: nobody is asked there
 */
import type { GatewayApi } from '../gateway/collections.ts';
import { type HostClusterInputs, hostCluster, hostEndpoints } from '../gateway/host-cluster.ts';
import type { ClusterUse } from '../gateway/served-route.ts';
import type { Cluster, Endpoints } from '../ir/backend.ts';
import { type ObjectRef, refKey } from '../ir/object-ref.ts';
import type { ParsedAuthorization } from '../istio/authorization.ts';
import { type ExtAuthzTarget, extAuthzTarget } from '../istio/extension-provider.ts';
import type { Mesh } from '../istio/mesh.ts';
import { type Collection, type Ctx, type Graph, anyOf, flatMap, join, map } from '../krt/index.ts';
import type { MeshApi } from '../waypoint/collections.ts';

/** A cluster that a Gateway needs. */
export type GatewayCluster = Pick<ClusterUse, 'scope' | 'cluster'>;

/** The clusters of providers. */
export interface Providers {
  readonly clusters: Collection<Cluster>;
  readonly endpoints: Collection<Endpoints>;
  readonly clusterOf: (ctx: Ctx, target: ExtAuthzTarget) => string | undefined;
}

/** Finds the providers of MeshConfig. */
export function providerClusters(
  g: Graph,
  mesh: Collection<Mesh>,
  api: Pick<GatewayApi, 'services' | 'slices'>,
  ambient: Pick<MeshApi, 'meshServices' | 'serviceEntryEndpoints'> | undefined,
): Providers {
  const byHost = ambient?.meshServices.index('provider host', (s) => (s.service.kind === 'ServiceEntry' ? [s.service.host] : []));
  const inputs: HostClusterInputs = {
    ...api,
    ...(ambient &&
      byHost && {
        entries: (ctx: Ctx, is: string) => ctx.fetch(ambient.meshServices, { index: byHost, is }).map((s) => s.service),
        entryEndpoints: ambient.serviceEntryEndpoints,
      }),
  };
  const find = (ctx: Ctx, target: ExtAuthzTarget): Cluster | undefined => {
    const { protocol } = target;
    return hostCluster(ctx, inputs, { ...target, protocol: protocol === 'grpc' ? 'http2' : 'http1', variant: `ext-authz-${protocol}` });
  };
  const clusters = flatMap(g, mesh, { name: 'ProviderClusters', key: (c: Cluster) => c.name }, (ctx, { extensionProviders }) => {
    const found = extensionProviders.flatMap((p) => extAuthzTarget(p) ?? []).flatMap((target) => find(ctx, target) ?? []);
    return [...new Map(found.map((c) => [c.name, c])).values()];
  });
  const endpoints = map(g, clusters, { name: 'ProviderEndpoints', key: (e: Endpoints) => e.cluster }, (ctx, cluster) =>
    hostEndpoints(ctx, inputs, cluster),
  );
  return { clusters, endpoints, clusterOf: (ctx, target) => find(ctx, target)?.name };
}

/** Where a policy of action CUSTOM holds: at a Gateway, or for one Service behind it. */
export interface CustomPlace {
  readonly key: string;
  readonly policy: ObjectRef;
  readonly provider: string;
  readonly cluster: string;
  /** `namespace/name` of the Gateway. */
  readonly scope: string;
  /** `Kind/namespace/name`; absent: everything behind the Gateway. */
  readonly service?: string;
}

/** The Gateways at which a target is served; with its service when it is one. */
export type PlacesOf = (ctx: Ctx, target: ObjectRef) => readonly Pick<CustomPlace, 'scope' | 'service'>[];

/** Where the policies of action CUSTOM hold. */
export function customPlaces(g: Graph, policies: Collection<ParsedAuthorization>, placesOf: PlacesOf): Collection<CustomPlace> {
  return flatMap(g, policies, { name: 'CustomPlaces', key: (p: CustomPlace) => p.key }, (ctx, policy) => {
    const { provider, ref } = policy;
    if (!provider || policy.failsClosed || policy.dryRun) return [];
    const places = policy.targets
      .flatMap((target) => placesOf(ctx, target))
      .map((place) => ({
        ...place,
        key: `${refKey(ref)}|${place.scope}|${place.service ?? ''}`,
        policy: ref,
        provider: provider.name,
        cluster: provider.cluster,
      }));
    return [...new Map(places.map((p) => [p.key, p])).values()];
  });
}

/** The clusters, endpoints and uses of the Gateway API with those of providers. */
export function withProviders(
  g: Graph,
  api: Pick<GatewayApi, 'clusters' | 'endpoints' | 'clusterUses'>,
  providers: Providers,
  places: Collection<CustomPlace>,
): Pick<GatewayApi, 'clusters' | 'endpoints'> & { readonly clusterUses: Collection<GatewayCluster> } {
  const uses = anyOf(
    g,
    { name: 'ProviderUses' },
    places.index('cluster of scope', (p) => [`${p.scope}|${p.cluster}`]),
  );
  return {
    clusters: join(g, { name: 'ClustersWithProviders' }, [api.clusters, providers.clusters]),
    endpoints: join(g, { name: 'EndpointsWithProviders' }, [api.endpoints, providers.endpoints]),
    clusterUses: join<GatewayCluster>(g, { name: 'ClusterUsesWithProviders' }, [api.clusterUses, uses]),
  };
}

/** The places that meet with those of a policy and ask another provider there: for the condition of the policy. */
export function conflictsOf(places: Collection<CustomPlace>): (ctx: Ctx, policy: ObjectRef) => readonly CustomPlace[] {
  const byScope = places.index('scope', (p) => [p.scope]);
  const byPolicy = places.index('policy', (p) => [refKey(p.policy)]);
  return (ctx, policy) => {
    const own = ctx.fetch(places, { index: byPolicy, is: refKey(policy) });
    const found = own.flatMap((mine) =>
      ctx
        .fetch(places, { index: byScope, is: mine.scope })
        .filter((p) => p.provider !== mine.provider && (p.service ?? mine.service) === (mine.service ?? p.service)),
    );
    return [...new Map(found.map((p) => [refKey(p.policy), p])).values()];
  };
}
