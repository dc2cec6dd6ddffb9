/**
 * What the proxies of waypoints serve.
 *
 *   BoundServices ──> ServicePorts, by address and port ─┬─ HTTP ─> ServiceScopes <── routes of Services and waypoints, TrafficPolicies
 *                          │                             ├─ TCP ──> TcpServices <── TLSRoutes, TCPRoutes (l4-collections.ts)
 *                          │                             │              └──> WaypointListeners <── Gateways
 *                          │                             └─ unknown ─> both
 *                          └─> Clusters and their uses: the default goes to the Service itself, by its endpoints
 */
import { BlockList, isIP } from 'node:net';
import type { Cluster } from '../ir/backend.ts';
import type { BoundService, MeshPort, MeshService } from '../ir/mesh.ts';
import { serviceChain, waypointChain, wildcardHost } from '../ir/names.ts';
import { type ObjectRef, refKey } from '../ir/object-ref.ts';
import { compareText } from '../ir/precedence.ts';
import type { HostRoutes } from '../ir/route.ts';
import { passingThrough } from '../ir/tcp.ts';
import type { ServedWorkload, ServiceRoutes, ServiceScope, TcpService, TlsBranch, WaypointListenerOfGateway } from '../ir/waypoint.ts';
import { isReservedAddress } from '../ir/reserved-address.ts';
import { type Collection, type Ctx, type Graph, flatMap, group, join, map } from '../krt/index.ts';
import { serviceCluster } from './service-backend.ts';
import { type BackendTlsPolicies, passthroughCluster } from './backendtlspolicy.ts';
import { type DefaultRuleInputs, defaultRule, isByName, portBehind } from './default-rule.ts';
import { asksForClientCertHeader } from './waypoint-class.ts';
import { serviceEntryCluster } from './service-entry-cluster.ts';
import { speaksHttp } from './service-parent.ts';
import type { BindingsAt } from './l4-collections.ts';
import { type L4Binding, servingBindings } from './l4route.ts';
import type { HttpRoutesOfServices } from './route-conflict.ts';
import type { ServiceView } from './views.ts';
import { workloadScopes, workloadsAt } from './workload-scopes.ts';

/** A port of a Service behind a waypoint. */
export interface ServicePort {
  /** `waypoint|chain`. */
  readonly key: string;
  readonly scope: string;
  readonly chain: string;
  readonly addresses: readonly string[];
  readonly port: number;
  /** `auto`: nobody said so, neither the port nor a route for HTTP. */
  readonly protocol: 'http' | 'tls' | 'tcp' | 'auto';
  /** Of the service; may begin with `*.`. */
  readonly host: string;
  readonly cluster: Cluster;
  readonly origin: ObjectRef;
}

/** The ports of all Services behind waypoints. Those whose endpoints we cannot find are left out. */
export function servicePorts(
  g: Graph,
  bound: Collection<BoundService>,
  { services, backendTls }: { readonly services: Collection<ServiceView>; readonly backendTls: BackendTlsPolicies },
  { parents, byDeclaredChain }: HttpRoutesOfServices,
): Collection<ServicePort> {
  return flatMap(g, bound, { name: 'ServicePorts', key: (p: ServicePort) => p.key }, (ctx, { waypoint, service }) =>
    service.ports.flatMap((port): ServicePort[] => {
      // Without an address no connection can ask for it.
      if (service.addresses.length === 0) return [];
      const plain = clusterOf(ctx, services, service, port);
      if (!plain) return [];
      const cluster = port.protocol === 'tls' ? passthroughCluster(ctx, backendTls, plain) : plain;
      const chain = serviceChain(`${service.kind}/${service.key}`, port.port);
      const key = `${waypoint}|${chain}`;
      const declared = port.protocol === 'auto' && ctx.fetch(parents, { index: byDeclaredChain, is: key }).length > 0;
      return [
        {
          key,
          scope: waypoint,
          chain,
          addresses: cluster.discovery?.from === 'original-destination' ? service.addresses.filter(isReachable) : service.addresses,
          port: port.port,
          protocol: declared || speaksHttp(port) ? 'http' : carriedBy(port),
          host: service.host,
          cluster,
          origin: service.origin,
        },
      ];
    }),
  );
}

/** What a port carries that does not say that it speaks HTTP. */
function carriedBy({ protocol }: MeshPort): ServicePort['protocol'] {
  return protocol === 'tls' || protocol === 'auto' ? protocol : 'tcp';
}

/** Whoever asks for one of these would have the proxy dial itself, or its node. */
function isReachable(address: string): boolean {
  return !isReservedAddress(address.split('/')[0] ?? '');
}

function clusterOf(ctx: Ctx, services: Collection<ServiceView>, mesh: MeshService, port: MeshPort): Cluster | undefined {
  if (mesh.endpoints.from !== 'slices') return serviceEntryCluster(mesh, port);
  const service = ctx.fetchOne(services, mesh.endpoints.service);
  const found = service?.ports.find((p) => p.port === port.port && p.protocol === 'TCP');
  return service && found && serviceCluster(service, found);
}

export interface ServiceScopeInputs extends DefaultRuleInputs {
  readonly ports: Collection<ServicePort>;
  readonly workloads: Collection<ServedWorkload>;
  /** Of TLSRoutes and TCPRoutes. */
  readonly bindingsAt: BindingsAt;
  /** Of chains of waypoints. */
  readonly routes: Collection<HostRoutes>;
}

/** The cluster of a port of which nobody said what it speaks, at one waypoint. */
export interface UndeclaredCluster {
  /** `scope|cluster`. */
  readonly key: string;
}

export interface WaypointCollections {
  readonly undeclaredClusters: Collection<UndeclaredCluster>;
  readonly waypointListeners: Collection<WaypointListenerOfGateway>;
  readonly serviceScopes: Collection<ServiceScope>;
}

/** Builds listeners and scopes. Of several services at one address and port, the first by name is served. */
export function serviceScopes(g: Graph, inputs: ServiceScopeInputs): WaypointCollections {
  const { ports, routes, workloads } = inputs;
  const byChain = routes.index('chain', (h) => [`${h.scope}|${h.chain}`]);
  const byPlace = group(
    g,
    { name: 'ServicePortsByPlace' },
    ports.index('place', (p) => p.addresses.map((address) => `${p.scope}|${p.port}|${address}`)),
  );
  /** A TLSRoute or TCPRoute says that a port speaks no HTTP. */
  const isUnknown = (ctx: Ctx, place: ServicePort): boolean =>
    // Requests by name to another port take a chain of their own.
    place.protocol === 'auto' && portBehind(place) === undefined && inputs.bindingsAt(ctx, place.scope, place.chain).length === 0;
  const scopes = map(g, byPlace, { name: 'ServiceScopes' }, (ctx, { key, items }): ServiceScope | undefined => {
    const [place, ...others] = servedOf(items);
    const address = key.slice(key.lastIndexOf('|') + 1);
    if (place?.protocol !== 'http' && !(place && isUnknown(ctx, place))) return undefined;
    const at = (chain: string) => ctx.fetch(routes, { index: byChain, is: `${place.scope}|${chain}` });
    const routesOf = (port: ServicePort, host: string): ServiceRoutes => ({
      host,
      ofService: at(port.chain),
      byDefault: defaultRule(ctx, inputs, port),
    });
    return {
      scope: place.scope,
      address,
      port: place.port,
      origin: place.origin,
      services: [routesOf(place, isByName(place) ? place.host : wildcardHost), ...others.map((o) => routesOf(o, o.host))],
      ofWaypoint: at(waypointChain),
    };
  });

  const tcp = map(g, byPlace, { name: 'TcpServices' }, (ctx, { key, items }): TcpService | undefined => {
    const [place, ...others] = servedOf(items);
    if (!place) return undefined;
    const address = key.slice(key.lastIndexOf('|') + 1);
    const { scope, port, origin } = place;
    if (place.protocol === 'http') {
      const onward = portBehind(place);
      // Scopes are found by exact address.
      const apart = address.includes('/') || onward !== undefined;
      return apart
        ? { scope, address, port, origin, http: true, ...(onward !== undefined && { onward }), backends: [], tls: [] }
        : undefined;
    }
    const bindings = inputs.bindingsAt(ctx, place.scope, place.chain);
    const detect = isUnknown(ctx, place) && ({ detect: true } as const);
    return { scope, address, port, origin, ...detect, ...tcpRoutes(place, others, bindings, inputs.bindingsAt(ctx, scope, waypointChain)) };
  });
  const httpByPort = ports.index('http port', (p) => (p.protocol === 'http' ? [`${p.scope}|${p.port}`] : []));
  const tcpByScope = tcp.index('scope', (t) => [t.scope]);
  const workloadsByWaypoint = workloads.index('waypoint', (w) => [w.waypoint]);
  const listeners = map(g, inputs.gateways, { name: 'WaypointListeners' }, (ctx, view): WaypointListenerOfGateway | undefined => {
    const own = view.listeners.filter((l) => l.chain === waypointChain && l.valid);
    if (own.length === 0 || !view.entrance) return undefined;
    const tcpOrRange = ctx.fetch(tcp, { index: tcpByScope, is: view.key });
    const within = withinRanges(tcpOrRange, (port) => ctx.fetch(ports, { index: httpByPort, is: `${view.key}|${port}` }));
    const known = new Set(tcpOrRange.map((s) => `${s.address}|${s.port}`));
    const services = [...tcpOrRange, ...within.filter((s) => !known.has(`${s.address}|${s.port}`))];
    const ofWorkloads = workloadsAt(ctx, view, workloads, workloadsByWaypoint);
    return {
      scope: view.key,
      port: view.entrance.port,
      hbone: view.entrance.hbone,
      ...(asksForClientCertHeader(view) && { clientCertHeader: true }),
      ...(ofWorkloads && { workloads: ofWorkloads }),
      tcp: services.toSorted((a, b) => compareText(a.address, b.address) || a.port - b.port),
      origins: own.map((l) => ({ ...view.ref, section: l.name })),
    };
  });
  const undeclared = map(g, ports, { name: 'UndeclaredClusters' }, (_ctx, { protocol, scope, cluster }): UndeclaredCluster | undefined =>
    protocol === 'auto' ? { key: `${scope}|${cluster.name}` } : undefined,
  );
  const ofWorkloads = workloadScopes(g, inputs, { collection: routes, byChain });
  const all = join(g, { name: 'AllServiceScopes' }, [scopes, ofWorkloads]);
  return { waypointListeners: listeners, serviceScopes: all, undeclaredClusters: undeclared };
}

/** What speaks HTTP at an address within a range of another: without chains of their own, the range would have their connections. */
function withinRanges(services: readonly TcpService[], httpAt: (port: number) => readonly ServicePort[]): readonly TcpService[] {
  const ranges = Map.groupBy(
    services.filter((s) => s.address.includes('/')),
    (s) => s.port,
  );
  const exact = [...ranges].flatMap(([port, ofPort]) => {
    const list = new BlockList();
    for (const { address } of ofPort) {
      const [prefix = '', bits] = address.split('/');
      list.addSubnet(prefix, Number(bits), familyOf(prefix));
    }
    return httpAt(port).flatMap(({ scope, addresses, origin }) =>
      addresses
        .filter((address) => !address.includes('/') && list.check(address, familyOf(address)))
        .map((address): TcpService => ({ scope, address, port, origin, http: true, backends: [], tls: [] })),
    );
  });
  return [...new Map(exact.map((s) => [`${s.address}|${s.port}`, s])).values()];
}

function familyOf(address: string): 'ipv4' | 'ipv6' {
  return isIP(address) === 6 ? 'ipv6' : 'ipv4';
}

/**
 * By TLSRoutes where they match, else by the TCPRoute; without one to the Service itself, of several that speak TLS to the one that is named. Routes of
 * the waypoint stand behind those of the Service; its TLSRoutes are for ports that say they speak TLS: on any other a server that speaks first would wait.
 */
function tcpRoutes(
  place: ServicePort,
  others: readonly ServicePort[],
  ofService: readonly L4Binding[],
  ofWaypoint: readonly L4Binding[],
): Pick<TcpService, 'backends' | 'tls'> {
  const serving = (bindings: readonly L4Binding[], kind: string) => servingBindings(bindings.filter((b) => b.route.kind === kind));
  const [tcp] = [...serving(ofService, 'TCPRoute'), ...serving(ofWaypoint, 'TCPRoute')];
  const byName = [...(place.protocol === 'tls' ? serving(ofWaypoint, 'TLSRoute') : []), ...serving(ofService, 'TLSRoute')];
  const named = [...(isByName(place) ? [place] : []), ...others].filter((p) => p.protocol === 'tls').map(ownBranch);
  const routed = byName.map(({ host, backends }): TlsBranch => ({ host, backends: passingThrough(backends) }));
  const branches = new Map([...named, ...routed].map((b) => [b.host, b]));
  return {
    // What names no host has nowhere to go where the name is the destination.
    backends: tcp ? tcp.backends : isByName(place) ? [] : [{ cluster: place.cluster.name, weight: 1 }],
    tls: [...branches.values()].toSorted((a, b) => compareText(a.host, b.host)),
  };
}

function ownBranch(place: ServicePort): TlsBranch {
  const { host, cluster, port } = place;
  return { host, backends: [{ cluster: cluster.name, weight: 1 }], ...(isByName(place) && { byName: portBehind(place) ?? port }) };
}

/** Of several services at one place the first by name, and what else the same object has there. */
function servedOf(items: readonly ServicePort[]): readonly ServicePort[] {
  if (items.length < 2) return items;
  const [first, ...others] = items.toSorted((a, b) => compareText(a.key, b.key));
  return first ? [first, ...others.filter((o) => refKey(o.origin) === refKey(first.origin) && o.protocol === first.protocol)] : [];
}
