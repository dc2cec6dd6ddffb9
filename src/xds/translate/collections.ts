/**
 * IR -> resources, as collections: each resource is encoded when what it is made of changes, and only then.
 *
 *   ProxyListeners ─> Listener          HostRoutes, by scope ─> ScopedRouteConfiguration
 *   WaypointListeners ─> Listener       ServiceScopes ─> ScopedRouteConfiguration of a port
 *   Certificates + KeyPairs ─> Secret   Clusters, Endpoints ─> Cluster, ClusterLoadAssignment of each Gateway (gateway-cluster.ts)
 */
import { identityFolder } from '../../ir/mesh-identity.ts';
import type { KeyPair, ProxyListener, TlsCertificate } from '../../ir/listener.ts';
import type { HostRoutes } from '../../ir/route.ts';
import type { ServiceScope, WaypointListener } from '../../ir/waypoint.ts';
import type { UdpListener } from '../../ir/tcp.ts';
import { type Collection, type Graph, flatMap, group, join, map } from '../../krt/index.ts';
import { type XdsResource, xdsResourceKey } from '../resource.ts';
import { type GatewayClusterInputs, gatewayClusters, sameResource } from './gateway-cluster.ts';
import { type Binding, type Bound, listenerResource } from './listener.ts';
import { scopeKeyOf, scopeResource } from './scope.ts';
import { secretResource } from './secret.ts';
import { serviceScopeResource } from './service-scope.ts';
import { udpListenerResource } from './udp-listener.ts';
import { waypointListenerResources } from './waypoint-listener.ts';

export interface IrInputs extends GatewayClusterInputs {
  readonly listeners: Collection<ProxyListener>;
  readonly udpListeners: Collection<UdpListener>;
  readonly certificates: Collection<TlsCertificate>;
  /** By the key of their Secret. */
  readonly keyPairs: Collection<KeyPair>;
  readonly hostRoutes: Collection<HostRoutes>;
  readonly waypointListeners: Collection<WaypointListener>;
  readonly serviceScopes: Collection<ServiceScope>;
}

/** Builds the resources of all Gateways. `bind` says where a listener is bound, `identity` where proxies of the mesh find their certificate. */
export function xdsResources(g: Graph, ir: IrInputs, bind: (l: Bound) => Binding, identity = identityFolder): Collection<XdsResource> {
  const options = (name: string) => ({ name, key: xdsResourceKey, equals: sameResource });

  const listeners = map(g, ir.listeners, options('ListenerResources'), (_ctx, l) => listenerResource(l, bind(l)));
  const udpListeners = map(g, ir.udpListeners, options('UdpListenerResources'), (_ctx, l) => udpListenerResource(l, bind(l)));
  const secrets = map(g, ir.certificates, options('SecretResources'), (ctx, certificate) => {
    const pair = ctx.fetchOne(ir.keyPairs, certificate.secret);
    return pair && secretResource(certificate, pair);
  });

  const clusters = gatewayClusters(g, ir);

  const byScope = group(
    g,
    { name: 'HostRoutesByScope' },
    ir.hostRoutes.index('scope', (h) => [scopeKeyOf(h)]),
  );
  const scopes = map(g, byScope, options('ScopeResources'), (_ctx, { items }) => scopeResource(items));

  const waypoints = flatMap(g, ir.waypointListeners, options('WaypointListenerResources'), (_ctx, l) =>
    waypointListenerResources(l, bind(l), identity),
  );
  const services = map(g, ir.serviceScopes, options('ServiceScopeResources'), (_ctx, scope) => serviceScopeResource(scope));

  return join(g, { name: 'XdsResources' }, [listeners, udpListeners, waypoints, secrets, clusters, scopes, services]);
}
