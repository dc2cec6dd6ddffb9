/** Addresses behind a cluster: [EndpointSlice]* of its Service -> Endpoints. Never the ClusterIP. */
import type { Cluster, Endpoint, Endpoints } from '../ir/backend.ts';
import { compareText } from '../ir/precedence.ts';
import type { SharedCluster } from '../ir/tcp.ts';
import type { Collection, Ctx, Index } from '../krt/index.ts';
import type { EndpointSlice } from '../kube/types/core.ts';

const serviceLabel = 'kubernetes.io/service-name';

export interface Slices {
  readonly collection: Collection<EndpointSlice>;
  readonly byService: Index<EndpointSlice>;
}

function serviceOfSlice({ metadata: { namespace, labels } }: EndpointSlice): readonly string[] {
  const service = labels?.[serviceLabel];
  return service ? [`${namespace}/${service}`] : [];
}

/** True when some address of the slice takes traffic. */
export function hasReadyEndpoint(slice: EndpointSlice): boolean {
  return (slice.endpoints ?? []).some(isReady);
}

/** Indexes slices by the `namespace/name` of their Service. */
export function slicesOf(collection: Collection<EndpointSlice>): Slices {
  return {
    collection,
    byService: collection.index('service', serviceOfSlice),
  };
}

/**
 * The endpoints of a cluster. Those that are ready; when none is, those that still serve while they terminate (KEP-1672).
 * Undefined when they come by another way. Of a dual-stack Service the family with endpoints, IPv4 first, so that no Pod counts twice.
 */
export function endpointsOf(ctx: Ctx, slices: Slices, cluster: Cluster): Endpoints | undefined {
  if (cluster.discovery?.from === 'static') return { cluster: cluster.name, endpoints: distinct(cluster.discovery.endpoints) };
  if (cluster.discovery) return undefined;
  return { cluster: cluster.name, endpoints: portEndpoints(ctx, slices, cluster.service, cluster.portName) };
}

/** Port `discard` of the proxy itself: nothing listens there, so what is sent there is lost. */
const nowhere: Endpoint = { address: '127.0.0.1', port: 9 };

/** What the weights of a shared cluster add up to: fine enough to divide any share over its endpoints. */
const totalWeight = 1_000_000;

/**
 * The endpoints of a cluster over several Services, each with its part of the weight of its Service; one behind two Services has that of both.
 * A share without endpoints keeps its weight, and goes nowhere.
 */
export function sharedEndpointsOf(ctx: Ctx, slices: Slices, cluster: SharedCluster): Endpoints {
  const total = cluster.shares.reduce((sum, share) => sum + share.weight, 0);
  const weighted = new Map<string, Endpoint & { readonly weight: number }>();
  for (const { weight, service } of cluster.shares) {
    const found = service ? portEndpoints(ctx, slices, service.key, service.portName) : [];
    const endpoints = found.length > 0 ? found : [nowhere];
    const part = Math.max(1, Math.round((weight / total) * (totalWeight / endpoints.length)));
    for (const endpoint of endpoints) {
      const key = `${endpoint.address}:${endpoint.port}`;
      weighted.set(key, { ...endpoint, weight: part + (weighted.get(key)?.weight ?? 0) });
    }
  }
  return { cluster: cluster.name, endpoints: [...weighted.values()] };
}

function portEndpoints(ctx: Ctx, slices: Slices, service: string, portName: string): readonly Endpoint[] {
  const found = ctx.fetch(slices.collection, { index: slices.byService, is: service });
  for (const family of ['IPv4', 'IPv6'] as const) {
    const ofFamily = found.filter((s) => s.addressType === family);
    for (const usable of [isReady, isServing]) {
      const endpoints = ofFamily.flatMap((s) => sliceEndpoints(s, portName, usable));
      if (endpoints.length > 0) return distinct(endpoints);
    }
  }
  return [];
}

type SliceEndpoint = NonNullable<EndpointSlice['endpoints']>[number];

const isReady = (e: SliceEndpoint): boolean => e.conditions?.ready !== false;
const isServing = (e: SliceEndpoint): boolean => e.conditions?.serving === true;

function sliceEndpoints(slice: EndpointSlice, portName: string, usable: (e: SliceEndpoint) => boolean): readonly Endpoint[] {
  const port = slice.ports?.find((p) => (p.name ?? '') === portName)?.port;
  if (port === undefined) return [];
  return (slice.endpoints ?? [])
    .filter(usable)
    .flatMap((e) => e.addresses.map((address) => ({ address, port, ...(e.zone !== undefined && { zone: e.zone }) })));
}

/** Sorted and without doubles: an endpoint may stand in two slices for a moment while it moves. */
function distinct(endpoints: readonly Endpoint[]): readonly Endpoint[] {
  const byAddress = new Map(endpoints.map((e) => [`${e.address}:${e.port}`, e]));
  return [...byAddress].sort(([a], [b]) => compareText(a, b)).map(([, e]) => e);
}
