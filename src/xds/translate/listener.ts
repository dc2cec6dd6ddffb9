/** [ProxyListener] -> Envoy Listener. Its bytes change as rarely as possible: routes, endpoints and certificates come by other ways. */
import type { Chain, HttpChain, ProxyListener, TcpChain } from '../../ir/listener.ts';
import { invalidBackendCluster } from '../../ir/names.ts';
import { compareText } from '../../ir/precedence.ts';
import { policyFilters } from '../filters/order.ts';
import {
  type ConfigListenerFilter,
  type FilterChain,
  type HttpConnectionManager,
  type HttpFilter,
  type Listener,
  type ListenerFilter,
  type SocketAddress,
  any,
  encode,
} from '../proto/index.ts';
import { TypeUrl, type XdsResource, resourceOf } from '../resource.ts';
import { tlsSocket } from './downstream-tls.ts';
import { askedCluster, networkRbacFilters } from './network-rbac.ts';
import { type ScopeKey, fallbackFilters, hostScopeKey, hostScopedRoutes, ownershipFilter } from './scope-key.ts';

/** Where a port of a Gateway is bound. In a Pod the port itself on every address; without a cluster a free place on loopback. */
export interface Binding {
  readonly address: string;
  readonly port: number;
}

/** What of a listener decides where it is bound. */
export type Bound = Pick<ProxyListener, 'scope' | 'port'>;

/** Bound in a Pod: IPv6 and IPv4 at once. */
export function podBinding(listener: Bound): Binding {
  return { address: '::', port: listener.port };
}

/** What a connection buffers at most for a peer that does not read. */
export const perConnectionBuffer = { value: 32 * 1024 };

/** Finds out whether a connection speaks TLS, and which server name it asks for. */
export const tlsInspector: ListenerFilter = {
  name: 'envoy.filters.listener.tls_inspector',
  typed_config: any('envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector', {}),
};

/** Translates a listener. */
export function listenerResource(listener: ProxyListener, binding: Binding): XdsResource {
  const tls = listener.chains.some((c) => c.tls ?? (c.kind === 'tcp' && c.passthrough));
  const message: Listener = {
    name: listener.name,
    address: { socket_address: socketAddress(binding) },
    filter_chains: listener.chains.map(filterChain),
    per_connection_buffer_limit_bytes: perConnectionBuffer,
    ...(tls && { listener_filters: [tlsInspector] }),
  };
  const bytes = encode('envoy.config.listener.v3.Listener', message);
  return resourceOf(TypeUrl.listener, listener, bytes, clustersOf(listener.chains));
}

/** A socket address of the binding. */
export function socketAddress({ address, port }: Binding): SocketAddress {
  return { address, port_value: port, ...(address === '::' && { ipv4_compat: true }) };
}

function clustersOf(chains: readonly Chain[]): readonly string[] {
  const names = chains.flatMap((c) => {
    if (c.kind !== 'tcp') return [];
    const asked = c.authorization && askedCluster(c.authorization);
    return [...c.backends.flatMap((b) => b.cluster ?? []), ...(asked === undefined ? [] : [asked])];
  });
  return [...new Set(names)].sort(compareText);
}

function filterChain(chain: Chain): FilterChain {
  const match = {
    ...(chain.serverNames.length > 0 && { server_names: [...chain.serverNames] }),
    // What is no TLS has no server name, and is not passed on.
    ...(chain.kind === 'tcp' && chain.passthrough && { transport_protocol: 'tls' }),
  };
  return {
    name: chain.name,
    filters: chain.kind === 'tcp' ? tcpFilters(chain) : [httpFilter(chain)],
    ...(Object.keys(match).length > 0 && { filter_chain_match: match }),
    ...(chain.tls && { transport_socket: tlsSocket(chain.tls) }),
  };
}

function tcpFilters({ name, authorization, backends }: TcpChain): readonly ConfigListenerFilter[] {
  return [...(authorization ? networkRbacFilters(authorization) : []), tcpProxy(name.split('/')[0] ?? name, backends)];
}

function httpFilter(chain: HttpChain): ConfigListenerFilter {
  return managerFilter(connectionManager(hostScopedRoutes, hostScopeKey(chain.name), chain.tls ? [ownershipFilter] : []));
}

/** The filter of a connection manager. */
export function managerFilter(manager: HttpConnectionManager): ConfigListenerFilter {
  return {
    name: 'envoy.filters.network.http_connection_manager',
    typed_config: any('envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager', manager),
  };
}

/**
 * Passes connections on. A cluster that does not exist closes them: that is the share of invalid backends, and all there is without any. One set of
 * counters a listener, however many hosts it has.
 */
export function tcpProxy(stat_prefix: string, backends: TcpChain['backends']): ConfigListenerFilter {
  const [first = { weight: 1 }, ...others] = backends;
  const clusters = [first, ...others].map(({ cluster = invalidBackendCluster, weight }) => ({ name: cluster, weight }));
  return {
    name: 'envoy.filters.network.tcp_proxy',
    typed_config: any('envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy', {
      stat_prefix,
      ...(others.length === 0 ? { cluster: first.cluster ?? invalidBackendCluster } : { weighted_clusters: { clusters } }),
    }),
  };
}

/** Hardened as Envoy's edge guide says: paths are normalized before anything matches them, and a client is believed about nothing. */
export function connectionManager(
  scoped_routes: HttpConnectionManager['scoped_routes'],
  scopeKey: ScopeKey,
  lookups: readonly HttpFilter[] = [],
): HttpConnectionManager {
  return {
    stat_prefix: 'http',
    scoped_routes,
    early_header_mutation_extensions: [scopeKey],
    http_filters: lookups.length === 0 ? httpFilters : [...lookups, ...httpFilters],
    use_remote_address: { value: true },
    normalize_path: { value: true },
    merge_slashes: true,
    // `example.com.` is `example.com`: wildcard hosts would not match it, and a backend should not see two names for one.
    strip_trailing_host_dot: true,
    http2_protocol_options: {
      max_concurrent_streams: { value: 100 },
      initial_stream_window_size: { value: 65_536 },
      initial_connection_window_size: { value: 1_048_576 },
    },
    request_headers_timeout: { seconds: 30 },
    upgrade_configs: [{ upgrade_type: 'websocket' }],
    // A connection is told to go away when its listener drains; requests on it finish first.
    drain_timeout: { seconds: 5 },
  };
}

/** The last HTTP filter. */
export const router: HttpFilter = {
  name: 'envoy.filters.http.router',
  typed_config: any('envoy.extensions.filters.http.router.v3.Router', {}),
};

const httpFilters: readonly HttpFilter[] = [
  ...fallbackFilters,
  ...policyFilters.map((f) => ({ name: f.name, typed_config: f.chain })),
  router,
];
