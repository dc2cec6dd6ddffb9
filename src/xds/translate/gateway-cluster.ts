/**
 * Clusters and endpoints as the proxies of each Gateway see them.
 *
 *   Clusters, Endpoints ─> bytes, once for all ─┬─> Cluster, ClusterLoadAssignment of each Gateway that uses them
 *   ClientCertificates, MeshSenders ────────────┘   other bytes only where a Gateway differs
 */
import type { ClientCertificate, Cluster, Endpoints } from '../../ir/backend.ts';
import { type MeshSender, type ServiceAddress, familyOf } from '../../ir/mesh-sender.ts';
import { tcpPortOfCluster } from '../../ir/names.ts';
import type { ObjectRef } from '../../ir/object-ref.ts';
import type { SharedCluster } from '../../ir/tcp.ts';
import { type Collection, type Ctx, type Graph, deepEqual, join, map } from '../../krt/index.ts';
import { TypeUrl, type XdsResource, versionOf, xdsResourceKey } from '../resource.ts';
import { encodeCluster, encodeEndpoints } from './cluster.ts';

export interface GatewayClusterInputs {
  readonly clusters: Collection<Cluster>;
  readonly sharedClusters: Collection<SharedCluster>;
  readonly endpoints: Collection<Endpoints>;
  /** By Gateway. */
  readonly clientCertificates: Collection<ClientCertificate>;
  /** Which Gateways need which clusters; items are the uses. */
  readonly clusterUses: Collection<{
    readonly key: string;
    readonly items: readonly { readonly scope: string; readonly cluster: string }[];
  }>;
  /** By Gateway: absent for one that takes no part in the mesh. */
  readonly meshSenders: Collection<MeshSender>;
  /** By Service. */
  readonly ingressAddresses: Collection<ServiceAddress>;
}

interface Encoded {
  readonly version: string;
  readonly bytes: Uint8Array;
  readonly origins: readonly ObjectRef[];
  readonly placed?: Endpoints;
}

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

  const clusters = map(g, ir.clusterUses, options('ClusterResources'), (ctx, { items }): XdsResource | undefined => {
    const [use] = items;
    const shared = use && ctx.fetchOne(clusterBytes, use.cluster);
    if (!shared) return undefined;
    const own = ownCluster(ctx, ir, use.scope, use.cluster);
    return { scope: use.scope, type: TypeUrl.cluster, name: use.cluster, ...(own ? encoded(own, shared.origins) : shared), clusters: [] };
  });
  const endpoints = map(g, ir.clusterUses, options('EndpointResources'), (ctx, { items }): XdsResource | undefined => {
    const [use] = items;
    const shared = use && ctx.fetchOne(endpointBytes, use.cluster);
    if (!shared) return undefined;
    const own = detourOf(ctx, ir, use.scope, use.cluster);
    return {
      scope: use.scope,
      type: TypeUrl.endpoint,
      name: use.cluster,
      ...(own ? encoded(encodeEndpoints(own), []) : shared),
      clusters: [],
    };
  });
  return join(g, { name: 'GatewayClusters' }, [clusters, endpoints]);
}

/** Other bytes than those for all: only where the backend speaks TLS. */
function ownCluster(ctx: Ctx, ir: GatewayClusterInputs, scope: string, name: string): Uint8Array | undefined {
  const certificate = ctx.fetchOne(ir.clientCertificates, scope);
  const sender = ctx.fetchOne(ir.meshSenders, scope);
  const cluster = certificate || sender ? ctx.fetchOne(ir.clusters, name) : undefined;
  if (!cluster?.tls) return undefined;
  if (sender?.whole && detourOf(ctx, ir, scope, name)) {
    // The waypoint has to read the request, and speaks TLS to the backend itself; up to it ztunnel encrypts.
    const { tls: _, ...plain } = cluster;
    return encodeCluster(plain);
  }
  return certificate && encodeCluster(cluster, certificate.secret);
}

/** The endpoints of an ingress whose requests are to go through the waypoint of a Service: the Service's own address. */
function detourOf(ctx: Ctx, ir: GatewayClusterInputs, scope: string, name: string): Endpoints | undefined {
  const sender = ctx.fetchOne(ir.meshSenders, scope);
  const cluster = sender && ctx.fetchOne(ir.clusters, name);
  const port = tcpPortOfCluster(name);
  const through = cluster && ctx.fetchOne(ir.ingressAddresses, cluster.service);
  const address = through?.addresses.find((a) => sender?.families.includes(familyOf(a)));
  if (address === undefined || port === undefined) return undefined;
  return { cluster: name, endpoints: [{ address, port }] };
}

/** With a preference for places, the version stands for the bytes of all of them. */
function encodedEndpoints(endpoints: Endpoints): Encoded {
  const generic = encoded(encodeEndpoints(endpoints), []);
  if (endpoints.prefers === undefined) return generic;
  return { ...generic, version: versionOf(Buffer.from(JSON.stringify(endpoints))), placed: endpoints };
}

function encoded(bytes: Uint8Array, origins: readonly ObjectRef[]): Encoded {
  return { version: versionOf(bytes), bytes, origins };
}
