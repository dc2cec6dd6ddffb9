/**
 * IR -> resources, as collections: each resource is encoded when what it is made of changes, and only then.
 *
 *   ProxyListeners ─> Listener          HostRoutes, by scope ─> ScopedRouteConfiguration
 *   WaypointListeners ─> Listener       ServiceScopes ─> ScopedRouteConfiguration of a port
 *   Certificates + KeyPairs ─> Secret   Clusters, Endpoints ─> bytes, once ─> Cluster, ClusterLoadAssignment of each Gateway that uses them
 */
import type { ClientCertificate, Cluster, Endpoints } from '../../ir/backend.ts';
import type { ProxyListener, TlsCertificate } from '../../ir/listener.ts';
import type { ObjectRef } from '../../ir/object-ref.ts';
import type { HostRoutes } from '../../ir/route.ts';
import type { ServiceScope, WaypointListener } from '../../ir/waypoint.ts';
import type { SecretBytes } from '../../ir/secret-bytes.ts';
import type { SharedCluster, UdpListener } from '../../ir/tcp.ts';
import { type Collection, type Graph, deepEqual, group, join, map } from '../../krt/index.ts';
import { TypeUrl, type XdsResource, versionOf, xdsResourceKey } from '../resource.ts';
import { encodeCluster, encodeEndpoints } from './cluster.ts';
import { type Binding, type Bound, listenerResource } from './listener.ts';
import { scopeKeyOf, scopeResource } from './scope.ts';
import { secretResource } from './secret.ts';
import { serviceScopeResource } from './service-scope.ts';
import { udpListenerResource } from './udp-listener.ts';
import { waypointListenerResource } from './waypoint-listener.ts';

export interface KeyPair {
  readonly certificate: SecretBytes;
  readonly privateKey: SecretBytes;
}

export interface IrInputs {
  readonly listeners: Collection<ProxyListener>;
  readonly udpListeners: Collection<UdpListener>;
  readonly certificates: Collection<TlsCertificate>;
  /** By the key of their Secret. */
  readonly keyPairs: Collection<KeyPair>;
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
  readonly hostRoutes: Collection<HostRoutes>;
  readonly waypointListeners: Collection<WaypointListener>;
  readonly serviceScopes: Collection<ServiceScope>;
}

interface Encoded {
  readonly version: string;
  readonly bytes: Uint8Array;
  readonly origins: readonly ObjectRef[];
}

/** Equal versions are equal bytes; origins can change without them. */
function sameResource(a: XdsResource, b: XdsResource): boolean {
  return a.version === b.version && deepEqual(a.origins, b.origins);
}

function sameBytes(a: Encoded, b: Encoded): boolean {
  return a.version === b.version;
}

/** Builds the resources of all Gateways. `bind` says where a listener is bound. */
export function xdsResources(g: Graph, ir: IrInputs, bind: (l: Bound) => Binding): Collection<XdsResource> {
  const options = (name: string) => ({ name, key: xdsResourceKey, equals: sameResource });

  const listeners = map(g, ir.listeners, options('ListenerResources'), (_ctx, l) => listenerResource(l, bind(l)));
  const udpListeners = map(g, ir.udpListeners, options('UdpListenerResources'), (_ctx, l) => udpListenerResource(l, bind(l)));
  const secrets = map(g, ir.certificates, options('SecretResources'), (ctx, certificate) => {
    const pair = ctx.fetchOne(ir.keyPairs, certificate.secret);
    return pair && secretResource(certificate, pair);
  });

  const bytes = (name: string) => ({ name, equals: sameBytes });
  const clusterBytes = join(g, { name: 'AllClusterBytes' }, [
    map(g, ir.clusters, bytes('ClusterBytes'), (_ctx, c) => encoded(encodeCluster(c), [c.origin])),
    map(g, ir.sharedClusters, bytes('SharedClusterBytes'), (_ctx, c) => encoded(encodeCluster(c), [c.origin])),
  ]);
  const endpointBytes = map(g, ir.endpoints, bytes('EndpointBytes'), (_ctx, e) => encoded(encodeEndpoints(e), []));
  const perGateway = (name: string, type: TypeUrl, encodedBytes: Collection<Encoded>) =>
    map(g, ir.clusterUses, options(name), (ctx, { items }): XdsResource | undefined => {
      const [use] = items;
      const found = use && ctx.fetchOne(encodedBytes, use.cluster);
      return found && { scope: use.scope, type, name: use.cluster, ...found, clusters: [] };
    });
  const shared = perGateway('SharedClusterResources', TypeUrl.cluster, clusterBytes);
  // A Gateway that shows backends a certificate has clusters of its own where they speak TLS.
  const clusters = map(g, shared, options('ClusterResources'), (ctx, resource): XdsResource => {
    const certificate = ctx.fetchOne(ir.clientCertificates, resource.scope);
    const cluster = certificate && ctx.fetchOne(ir.clusters, resource.name);
    if (!cluster?.tls) return resource;
    return { ...resource, ...encoded(encodeCluster(cluster, certificate?.secret), resource.origins) };
  });
  const endpoints = perGateway('EndpointResources', TypeUrl.endpoint, endpointBytes);

  const byScope = group(
    g,
    { name: 'HostRoutesByScope' },
    ir.hostRoutes.index('scope', (h) => [scopeKeyOf(h)]),
  );
  const scopes = map(g, byScope, options('ScopeResources'), (_ctx, { items }) => scopeResource(items));

  const waypoints = map(g, ir.waypointListeners, options('WaypointListenerResources'), (_ctx, l) => waypointListenerResource(l, bind(l)));
  const services = map(g, ir.serviceScopes, options('ServiceScopeResources'), (_ctx, place) => serviceScopeResource(place));

  return join(g, { name: 'XdsResources' }, [listeners, udpListeners, waypoints, secrets, clusters, endpoints, scopes, services]);
}

function encoded(bytes: Uint8Array, origins: readonly ObjectRef[]): Encoded {
  return { version: versionOf(bytes), bytes, origins };
}
