/** Addresses behind a cluster: [EndpointSlice]* of its Service -> Endpoints. Never the ClusterIP. */
import type { Cluster, Endpoint, Endpoints } from '../ir/backend.ts';
import { compareText } from '../ir/precedence.ts';
import type { SharedCluster } from '../ir/tcp.ts';
import type { Collection, Ctx, Index } from '../krt/index.ts';
import type { EndpointSlice } from '../kube/types/core.ts';
import type { ServiceView } from './views.ts';

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

/** Names of the Nodes of the endpoints of a Service, `namespace/name`, by address. */
export function nodesOfService(ctx: Ctx, { collection, byService }: Slices, service: string): ReadonlyMap<string, string> {
  const endpoints = ctx.fetch(collection, { index: byService, is: service }).flatMap((s) => s.endpoints ?? []);
  return new Map(endpoints.flatMap(({ addresses, nodeName }) => (nodeName === undefined ? [] : addresses.map((a) => [a, nodeName]))));
}

/** What endpoints are made of besides the slices. */
export interface EndpointInputs {
  readonly slices: Slices;
  readonly services: Collection<ServiceView>;
}

/**
 * The endpoints of a cluster. Those that are ready; when none is, those that still serve while they terminate (KEP-1669).
 * Undefined when they come by another way.
 */
export function endpointsOf(ctx: Ctx, inputs: EndpointInputs, cluster: Cluster): Endpoints | undefined {
  if (cluster.discovery?.from === 'static') return { cluster: cluster.name, endpoints: byAddress(cluster.discovery.endpoints, (e) => e) };
  if (cluster.discovery) return undefined;
  const found = portEndpoints(ctx, inputs, cluster.service, cluster.portName);
  const prefers = ctx.fetchOne(inputs.services, cluster.service)?.prefers;
  const placed = prefers === undefined ? undefined : withPlaces(found, prefers);
  return {
    cluster: cluster.name,
    endpoints: placed ?? found.map((f) => f.endpoint),
    ...(placed && { prefers: prefers === 'node' ? 'node' : 'zone' }),
  };
}

/**
 * The endpoints with whom they are close to: as their hints say, else (slices that the user writes have none) where they are. Undefined when hints alone
 * count and one lacks them: a part of the endpoints alone might not carry the load (Kubernetes: Topology Aware Routing, safeguards).
 */
function withPlaces(found: readonly Found[], prefers: NonNullable<ServiceView['prefers']>): readonly Endpoint[] | undefined {
  if (prefers === 'hints' && found.some(({ source }) => !source.hints?.forZones?.length)) return undefined;
  return found.map(({ endpoint, source: { hints, zone, nodeName } }) => {
    const zones = hints?.forZones?.map((z) => z.name) ?? (zone === undefined ? [] : [zone]);
    const nodes = hints?.forNodes?.map((n) => n.name) ?? (nodeName === undefined ? [] : [nodeName]);
    return { ...endpoint, near: { zones, nodes: prefers === 'node' ? nodes : [] } };
  });
}

/** Port `discard` of the proxy itself: nothing listens there, so what is sent there is lost. */
const nowhere: Endpoint = { address: '127.0.0.1', port: 9 };

/** What the weights of a shared cluster add up to: fine enough to divide any share over its endpoints. */
const totalWeight = 1_000_000;

/**
 * The endpoints of a cluster over several Services, each with its part of the weight of its Service; one behind two Services has that of both.
 * A share without endpoints keeps its weight, and goes nowhere.
 */
export function sharedEndpointsOf(ctx: Ctx, inputs: EndpointInputs, cluster: SharedCluster): Endpoints {
  const total = cluster.shares.reduce((sum, share) => sum + share.weight, 0);
  const weighted = new Map<string, Endpoint & { readonly weight: number }>();
  for (const { weight, service } of cluster.shares) {
    const found = service ? portEndpoints(ctx, inputs, service.key, service.portName) : [];
    const endpoints = found.length > 0 ? found.map((f) => f.endpoint) : [nowhere];
    const part = Math.max(1, Math.round((weight / total) * (totalWeight / endpoints.length)));
    for (const endpoint of endpoints) {
      const key = `${endpoint.address}:${endpoint.port}`;
      weighted.set(key, { ...endpoint, weight: part + (weighted.get(key)?.weight ?? 0) });
    }
  }
  return { cluster: cluster.name, endpoints: [...weighted.values()] };
}

type SliceEndpoint = NonNullable<EndpointSlice['endpoints']>[number];

interface Found {
  readonly endpoint: Endpoint;
  readonly source: SliceEndpoint;
}

const bothFamilies = ['IPv4', 'IPv6'] as const;

/**
 * Of a dual-stack Service a Pod stands in slices of both families and is one endpoint, with its address of the first family first. What names no Pod
 * cannot be told to be the same in both: of such, the first family that has any is used.
 */
function portEndpoints(ctx: Ctx, { slices, services }: EndpointInputs, service: string, portName: string): readonly Found[] {
  const all = ctx.fetch(slices.collection, { index: slices.byService, is: service });
  const order = [...new Set([...(ctx.fetchOne(services, service)?.families ?? []), ...bothFamilies])];
  for (const usable of [isReady, isServing]) {
    const [first = [], second = []] = order.map((family) =>
      all.filter((s) => s.addressType === family).flatMap((s) => sliceEndpoints(s, portName, usable)),
    );
    const merged = mergeFamilies(first, second);
    if (merged.length > 0) return merged;
  }
  return [];
}

const generated = '[bcdfghjklmnpqrstvwxz2456789]';
const ofDeployment = new RegExp(`^(.+)-${generated}{6,10}-${generated}{5}$`);
const ofOthers = new RegExp(`^(.+)-(?:${generated}{5}|[0-9]+)$`);

/** `echo-7d4b9c8f6d-x2x5k` and `echo-0` are of `echo`; a Pod that nothing runs is its own workload. */
export function workloadOf(pod: string): string {
  return (ofDeployment.exec(pod) ?? ofOthers.exec(pod))?.[1] ?? pod;
}

const isReady = (e: SliceEndpoint): boolean => e.conditions?.ready !== false;
const isServing = (e: SliceEndpoint): boolean => e.conditions?.serving === true;

function sliceEndpoints(slice: EndpointSlice, portName: string, usable: (e: SliceEndpoint) => boolean): readonly Found[] {
  const port = slice.ports?.find((p) => (p.name ?? '') === portName)?.port;
  if (port === undefined) return [];
  return (slice.endpoints ?? []).filter(usable).flatMap((source): Found[] => {
    // Several addresses are ways to the same endpoint, and the first is enough (Kubernetes: Endpoint.addresses).
    const [address] = source.addresses;
    if (address === undefined) return [];
    const { zone, targetRef } = source;
    const workload = targetRef?.kind === 'Pod' && targetRef.name ? workloadOf(targetRef.name) : undefined;
    return [{ endpoint: { address, port, ...(zone !== undefined && { zone }), ...(workload !== undefined && { workload }) }, source }];
  });
}

function mergeFamilies(first: readonly Found[], second: readonly Found[]): readonly Found[] {
  if (second.length === 0) return distinct(first);
  if (first.length === 0) return distinct(second);
  const others = new Map(second.flatMap((f) => (targetOf(f) === undefined ? [] : [[targetOf(f), f]])));
  const paired = first.map((f): Found => {
    const target = targetOf(f);
    const other = target === undefined ? undefined : others.get(target);
    if (!other || other.endpoint.port !== f.endpoint.port) return f;
    others.delete(target);
    return { ...f, endpoint: { ...f.endpoint, otherAddress: other.endpoint.address } };
  });
  const known = new Set(first.map(targetOf));
  const alone = [...others.values()].filter((f) => !known.has(targetOf(f)));
  const nameless = first.some((f) => targetOf(f) === undefined) ? [] : second.filter((f) => targetOf(f) === undefined);
  return distinct([...paired, ...alone, ...nameless]);
}

/** The Pod behind an endpoint, with its port: a Pod may have the port under several numbers. */
function targetOf({ source: { targetRef }, endpoint }: Found): string | undefined {
  return targetRef?.name === undefined ? undefined : `${targetRef.kind}/${targetRef.namespace}/${targetRef.name}:${endpoint.port}`;
}

/** Sorted and without doubles: an endpoint may stand in two slices for a moment while it moves. */
function distinct(found: readonly Found[]): readonly Found[] {
  return byAddress(found, (f) => f.endpoint);
}

function byAddress<T>(items: readonly T[], endpointOf: (item: T) => Endpoint): readonly T[] {
  const keyed = new Map(items.map((item) => [`${endpointOf(item).address}:${endpointOf(item).port}`, item]));
  return [...keyed].sort(([a], [b]) => compareText(a, b)).map(([, item]) => item);
}
