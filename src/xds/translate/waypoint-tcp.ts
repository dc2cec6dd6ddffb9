/**
 * [TcpService] -> filter chains of a waypoint.
 *
 *   connection by address and port ─┬─> backends
 *                                   └─ with TLSRoutes ─> internal listener, which reads the server name ─> backends
 *
 * The listener itself never looks at first bytes: that would hold up protocols in which the server speaks first, and whatever changes of a
 * listener but its chains closes every connection through it. The internal one is always there: Envoy 1.40 passes nothing on to one that was taken
 * away and came again.
 */
import { wildcardHost } from '../../ir/names.ts';
import { compareText } from '../../ir/precedence.ts';
import { defaultTelemetry } from '../../ir/telemetry.ts';
import type { TcpService, TlsBranch, WaypointListener } from '../../ir/waypoint.ts';
import { type CidrRange, type ConfigListenerFilter, type FilterChain, any, encode } from '../proto/index.ts';
import { TypeUrl, type XdsResource, resourceOf } from '../resource.ts';
import { dnsCache, reservedPrefixes } from './dynamic-forward-proxy.ts';
import { connectionFacts, internalCluster, internalListener } from './internal-listener.ts';
import { connectionLogs, httpChainName, passedOnPrefix, sourceFacts } from './istio-metrics.ts';
import { tcpProxy, tlsInspector } from './listener.ts';
import { askedCluster, networkRbacFilters } from './network-rbac.ts';
import { serviceScopeKey } from './service-scope-key.ts';
import type { ClientIdentity } from './waypoint-chains.ts';
import { type WaypointHttp, waypointHttpFilter } from './waypoint-http.ts';

/** Name of the internal listener and of the cluster that leads to it. */
export const tlsListenerName = 'waypoint-tls';

/**
 * In every listener whose chains come and go: Envoy replaces a listener as a whole, and drains all of its connections, when it gets its first chain or
 * loses its last one. No connection comes from that address.
 */
export const constantChain: FilterChain = {
  name: 'constant',
  filter_chain_match: { source_prefix_ranges: [range('255.255.255.255')] },
  filters: [tcpProxy('none', [])],
};

/** The chain of a Service in the listener of the waypoint. */
export function tcpServiceChain(service: TcpService, identity: ClientIdentity, http: WaypointHttp): FilterChain {
  return {
    name: `${service.http ? `${httpChainName}|` : service.tls.length > 0 ? passedOnPrefix : ''}${placeOf(service)}`,
    filter_chain_match: matchOf(service),
    filters: service.http
      ? [
          ...identity.filters,
          sourceFacts,
          ...portFacts(service),
          waypointHttpFilter(http, serviceScopeKey(service.address, service.port), service),
        ]
      : service.tls.length > 0
        ? [connectionFacts(identity), tcpProxy('tls', [{ cluster: tlsListenerName, weight: 1 }])]
        : [...identity.filters, sourceFacts, ...authorizationOf(service), tcpProxy('tcp', service.backends)],
  };
}

/**
 * One chain for each port of a range: no connection to an address of the range leads to the proxy itself or its node. More specific than any range that
 * is served.
 */
export function rangeGuards(tcp: readonly TcpService[]): readonly FilterChain[] {
  const ports = new Set(tcp.filter((s) => s.address.includes('/')).map((s) => s.port));
  return [...ports].map((port) => ({
    name: `guard|${port}`,
    filter_chain_match: { prefix_ranges: [...reservedPrefixes], destination_port: { value: port } },
    filters: [tcpProxy('none', [])],
  }));
}

/** What connections to a Service lead to, and who is asked about them. */
export function clustersOfService(service: TcpService): readonly string[] {
  return [...clustersOf(service.backends), ...askedOf(service)];
}

/** The internal listener and the way to it. */
export function tlsListenerResources(listener: WaypointListener): readonly XdsResource[] {
  const services = listener.tcp.filter((s) => s.tls.length > 0);
  const bytes = encode('envoy.config.listener.v3.Listener', {
    ...internalListener(tlsListenerName, tlsInspector),
    filter_chains: [constantChain, ...services.flatMap(tlsChains)],
    default_filter_chain: { name: 'other', filters: [tcpProxy('tls', [])] },
    access_log: connectionLogs(listener.telemetry ?? defaultTelemetry),
  });
  const resource = { scope: listener.scope, name: tlsListenerName, origins: listener.origins };
  const clusters = distinct(services.flatMap((s) => [...clustersOfService(s), ...s.tls.flatMap((b) => clustersOf(b.backends))]));
  return [resourceOf(TypeUrl.listener, resource, bytes, clusters), resourceOf(TypeUrl.cluster, resource, wayThere)];
}

function tlsChains(service: TcpService): readonly FilterChain[] {
  const chain = (
    name: string,
    match: FilterChain['filter_chain_match'],
    { backends, byName }: Pick<TlsBranch, 'backends' | 'byName'>,
  ): FilterChain => ({
    name,
    filter_chain_match: { ...matchOf(service), ...match },
    filters: [
      sourceFacts,
      ...authorizationOf(service),
      ...(byName === undefined ? [] : [nameResolution(byName, backends)]),
      tcpProxy('tls', backends),
    ],
  });
  return [
    ...service.tls.map((branch) =>
      chain(
        `${placeOf(service)}|${branch.host}`,
        // What is no TLS has no server name.
        { transport_protocol: 'tls', ...(branch.host !== wildcardHost && { server_names: [branch.host] }) },
        branch,
      ),
    ),
    chain(placeOf(service), {}, service),
  ];
}

/** Resolves the server name before the cluster is asked for it. */
function nameResolution(port_value: number, [backend]: TcpService['backends']): ConfigListenerFilter {
  return {
    name: 'envoy.filters.network.sni_dynamic_forward_proxy',
    typed_config: any('envoy.extensions.filters.network.sni_dynamic_forward_proxy.v3.FilterConfig', {
      dns_cache_config: dnsCache(backend?.cluster ?? ''),
      port_value,
    }),
  };
}

const wayThere = encode('envoy.config.cluster.v3.Cluster', internalCluster(tlsListenerName));

/** What a cluster that resolves names reads, in place of the usual port. */
function portFacts({ onward }: TcpService): readonly ConfigListenerFilter[] {
  if (onward === undefined) return [];
  return [
    {
      name: 'kgateway.onward_port',
      typed_config: any('envoy.extensions.filters.network.set_filter_state.v3.Config', {
        on_new_connection: [
          { object_key: 'envoy.upstream.dynamic_port', format_string: { text_format_source: { inline_string: String(onward) } } },
        ],
      }),
    },
  ];
}

/** What stands before the connections of a Service. */
export function authorizationOf({ authorization }: TcpService): readonly ConfigListenerFilter[] {
  return authorization ? networkRbacFilters(authorization) : [];
}

function clustersOf(backends: TcpService['backends']): readonly string[] {
  return backends.flatMap((b) => b.cluster ?? []);
}

function askedOf({ authorization }: TcpService): readonly string[] {
  const cluster = authorization && askedCluster(authorization);
  return cluster === undefined ? [] : [cluster];
}

/** Each once, sorted. */
export function distinct(names: readonly string[]): readonly string[] {
  return [...new Set(names)].sort(compareText);
}

/** Address and port, which name its chain. */
export function placeOf({ address, port }: TcpService): string {
  return `${address}|${port}`;
}

/** Connections to its address and port. */
export function matchOf({ address, port }: TcpService): NonNullable<FilterChain['filter_chain_match']> {
  return { prefix_ranges: [range(address)], destination_port: { value: port } };
}

function range(address: string): CidrRange {
  const [address_prefix = address, bits = address.includes(':') ? '128' : '32'] = address.split('/');
  return { address_prefix, prefix_len: { value: Number(bits) } };
}
