/**
 * Clusters and endpoints as the proxies of each Gateway see them.
 *
 *   Clusters, Endpoints ─> bytes, once for all ─┬─> Cluster, ClusterLoadAssignment of each Gateway that uses them
 *   ClientCertificates, MeshSenders ────────────┘   other bytes only where a Gateway differs
 */
import type { ClientCertificate, Cluster, Endpoint, Endpoints } from '../../ir/backend.ts';
import type { LocalityPolicy, PlacedPolicy } from '../../ir/locality.ts';
import type { TrustDomains } from '../../ir/mesh-identity.ts';
import { type CapturedIngress, type HboneWorkload, type MeshSender, type ServiceAddress, familyOf } from '../../ir/mesh-sender.ts';
import { tcpPortOfCluster } from '../../ir/names.ts';
import type { ObjectRef } from '../../ir/object-ref.ts';
import type { ClusterTraffic } from '../../ir/traffic.ts';
import { compareText } from '../../ir/precedence.ts';
import type { SharedCluster } from '../../ir/tcp.ts';
import { type Collection, type Ctx, type Graph, type Index, deepEqual, join, map } from '../../krt/index.ts';
import { TypeUrl, type XdsResource, versionOf, xdsResourceKey } from '../resource.ts';
import { type ClusterVariant, encodeCluster, encodeEndpoints } from './cluster.ts';

export interface GatewayClusterInputs {
  readonly clusters: Collection<Cluster>;
  readonly sharedClusters: Collection<SharedCluster>;
  readonly endpoints: Collection<Endpoints>;
  /** By Gateway. */
  readonly clientCertificates: Collection<ClientCertificate>;
  /** Which Gateways need which clusters: each pair once. */
  readonly clusterUses: Collection<{ readonly scope: string; readonly cluster: string }>;
  /** By Gateway: absent for one that takes no part in the mesh. */
  readonly meshSenders: Collection<MeshSender>;
  /** By Service. */
  readonly ingressAddresses: Collection<ServiceAddress>;
  /** How the proxies of a Gateway treat a backend. */
  readonly trafficOf: (ctx: Ctx, scope: string, cluster: Cluster) => ClusterTraffic | undefined;
  /** Endpoints with all that the policy asks of them. */
  readonly localized: (
    ctx: Ctx,
    scope: string,
    policy: LocalityPolicy,
    of: Pick<Cluster, 'service'> & { readonly endpoints: readonly Endpoint[] },
  ) => LocalizedEndpoints;
  /** By address. */
  readonly hboneWorkloads: Index<HboneWorkload>;
  /** Clusters of ports that do not say what they speak, by `scope|cluster`. */
  readonly undeclaredClusters: Collection<{ readonly key: string }>;
}

/** With the places of the endpoints, and what of the proxy is compared with them. */
export interface LocalizedEndpoints {
  readonly endpoints: readonly Endpoint[];
  readonly locality: PlacedPolicy;
}

type Encoded = Pick<XdsResource, 'version' | 'bytes' | 'origins' | 'placed'>;

/** Equal versions are equal bytes; origins can change without them. */
export function sameResource(a: XdsResource, b: XdsResource): boolean {
  return a.version === b.version && deepEqual(a.origins, b.origins);
}

function sameBytes(a: Encoded, b: Encoded): boolean {
  return a.version === b.version;
}

/** Builds the resources of all Gateways. */
export function gatewayClusters(g: Graph, ir: GatewayClusterInputs): Collection<XdsResource> {
  const options = (name: string) => ({ name, key: xdsResourceKey, equals: sameResource });
  const bytes = (name: string) => ({ name, equals: sameBytes });
  const clusterBytes = join(g, { name: 'AllClusterBytes' }, [
    map(g, ir.clusters, bytes('ClusterBytes'), (_ctx, c) => encoded(encodeCluster(c), [c.origin])),
    map(g, ir.sharedClusters, bytes('SharedClusterBytes'), (_ctx, c) => encoded(encodeCluster(c), [c.origin])),
  ]);
  const endpointBytes = map(g, ir.endpoints, bytes('EndpointBytes'), (_ctx, e) => encodedEndpoints(e));

  const clusters = map(g, ir.clusterUses, options('ClusterResources'), (ctx, use): XdsResource | undefined => {
    const shared = ctx.fetchOne(clusterBytes, use.cluster);
    if (!shared) return undefined;
    const own = ownCluster(ctx, ir, use.scope, use.cluster);
    return {
      scope: use.scope,
      type: TypeUrl.cluster,
      name: use.cluster,
      ...(own ? { ...own, origins: shared.origins } : shared),
      clusters: [],
    };
  });
  const endpoints = map(g, ir.clusterUses, options('EndpointResources'), (ctx, use): XdsResource | undefined => {
    const shared = ctx.fetchOne(endpointBytes, use.cluster);
    if (!shared) return undefined;
    const own = ownEndpoints(ctx, ir, use.scope, use.cluster);
    return { scope: use.scope, type: TypeUrl.endpoint, name: use.cluster, ...(own ? encodedEndpoints(own) : shared), clusters: [] };
  });
  return join(g, { name: 'GatewayClusters' }, [clusters, endpoints]);
}

/** Other bytes than those for all: where the backend speaks TLS, or nobody knows what, or its endpoints may be tunnels. */
function ownCluster(ctx: Ctx, ir: GatewayClusterInputs, scope: string, name: string): Encoded | undefined {
  const clientCertificate = ctx.fetchOne(ir.clientCertificates, scope)?.secret;
  const sender = ctx.fetchOne(ir.meshSenders, scope);
  const cluster = ctx.fetchOne(ir.clusters, name);
  if (!cluster) return undefined;
  const traffic = ir.trafficOf(ctx, scope, cluster);
  const placed = traffic ? localizedCluster(ctx, ir, scope, cluster, traffic) : cluster;
  const undeclared = ctx.fetchOne(ir.undeclaredClusters, `${scope}|${name}`) !== undefined;
  if (sender?.by === 'hbone')
    return encodedCluster(placed, { clientCertificate, tunnels: hasAddresses(cluster), uncaptured: true, traffic, undeclared });
  if (traffic || undeclared) return encodedCluster(placed, { clientCertificate, traffic, undeclared });
  if (!cluster.tls) return undefined;
  if (sender?.whole && addressThrough(ctx, ir, sender, name) !== undefined) {
    // The waypoint has to read the request, and speaks TLS to the backend itself; up to it ztunnel encrypts.
    const { tls: _, ...plain } = cluster;
    return encodedCluster(plain, {});
  }
  return clientCertificate === undefined ? undefined : encodedCluster(cluster, { clientCertificate });
}

/** A cluster that has its endpoints in itself, with their places. */
function localizedCluster(ctx: Ctx, ir: GatewayClusterInputs, scope: string, cluster: Cluster, { locality }: ClusterTraffic): Cluster {
  const { discovery } = cluster;
  if (discovery?.from !== 'dns' || !locality || locality.by === 'nothing') return cluster;
  return { ...cluster, discovery: { from: 'dns', ...ir.localized(ctx, scope, locality, { service: '', endpoints: discovery.endpoints }) } };
}

/** With places, the version stands for the bytes of all of them. */
function encodedCluster(cluster: Cluster, variant: ClusterVariant): Encoded {
  const generic = encoded(encodeCluster(cluster, variant), []);
  if (cluster.discovery?.from !== 'dns' || !cluster.discovery.locality) return generic;
  return { ...generic, version: versionOf(Buffer.from(generic.version + JSON.stringify(cluster.discovery))), placed: { cluster, variant } };
}

/** Whether the controller knows the addresses behind it: then some may be workloads of the mesh. */
function hasAddresses({ discovery }: Cluster): boolean {
  return discovery?.from !== 'dns' && discovery?.from !== 'original-destination' && discovery?.from !== 'host';
}

/** Other endpoints than those for all: the address of the Service instead, which leads to its waypoint, or tunnels to workloads of the mesh. */
function ownEndpoints(ctx: Ctx, ir: GatewayClusterInputs, scope: string, name: string): Endpoints | undefined {
  const sender = ctx.fetchOne(ir.meshSenders, scope);
  const cluster = ctx.fetchOne(ir.clusters, name);
  const policy = cluster && ir.trafficOf(ctx, scope, cluster)?.locality;
  const near = policy && localizedEndpoints(ctx, ir, scope, policy, cluster);
  if (!sender) return near;
  if (sender.by === 'ztunnel') {
    const address = addressThrough(ctx, ir, sender, name);
    return address === undefined ? near : { cluster: name, endpoints: [{ address, port: tcpPortOfCluster(name) ?? 0 }] };
  }
  const all = near ?? ctx.fetchOne(ir.endpoints, name);
  if (!all) return undefined;
  const { hboneWorkloads } = ir;
  const endpoints = all.endpoints.map((endpoint) => {
    const workloads = ctx.fetch(hboneWorkloads.collection, { index: hboneWorkloads, is: endpoint.address });
    return workloads.length > 0 ? { ...endpoint, tunnel: identitiesOf(workloads, sender.trustDomains) } : endpoint;
  });
  return endpoints.some((e) => e.tunnel) ? { ...all, endpoints } : near;
}

/** Undefined: those for all. */
function localizedEndpoints(
  ctx: Ctx,
  ir: GatewayClusterInputs,
  scope: string,
  policy: LocalityPolicy,
  { name: cluster, service }: Cluster,
): Endpoints | undefined {
  const all = ctx.fetchOne(ir.endpoints, cluster);
  if (!all) return undefined;
  const { endpoints, prefers } = all;
  if (policy.by === 'nothing') return prefers === undefined ? undefined : { cluster, endpoints };
  if (policy.by === 'failover' && policy.byDefault && prefers !== undefined) return undefined;
  return { cluster, ...ir.localized(ctx, scope, policy, { service, endpoints }) };
}

/** An address may for a moment be that of two Pods, one of which is gone. */
function identitiesOf(workloads: readonly HboneWorkload[], trustDomains: TrustDomains): readonly string[] {
  const all = workloads.flatMap((w) => trustDomains.map((d) => `spiffe://${d}/ns/${w.namespace}/sa/${w.serviceAccount}`));
  return [...new Set(all)].sort(compareText);
}

/** What a captured ingress dials for a Service whose waypoint is to see it. */
function addressThrough(ctx: Ctx, ir: GatewayClusterInputs, sender: CapturedIngress, name: string): string | undefined {
  const cluster = tcpPortOfCluster(name) === undefined ? undefined : ctx.fetchOne(ir.clusters, name);
  const through = cluster && ctx.fetchOne(ir.ingressAddresses, cluster.service);
  return through?.addresses.find((a) => sender.families.includes(familyOf(a)));
}

/** With a preference for places, the version stands for the bytes of all of them. */
function encodedEndpoints(endpoints: Endpoints): Encoded {
  const generic = encoded(encodeEndpoints(endpoints), []);
  if (endpoints.prefers === undefined && !endpoints.locality) return generic;
  return { ...generic, version: versionOf(Buffer.from(JSON.stringify(endpoints))), placed: endpoints };
}

function encoded(bytes: Uint8Array, origins: readonly ObjectRef[]): Encoded {
  return { version: versionOf(bytes), bytes, origins };
}
