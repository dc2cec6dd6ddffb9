/**
 * Ports that do not say what they speak.
 *
 *   connection to one ─> its chain, which keeps the facts ─> internal listener, which waits for the first bytes ─┬─ HTTP ─────────> scopes
 *                                                                                                               └─ anything else ─> the Service, as TCP
 *
 * A server that speaks first is waited for no longer than `detectionTimeoutMs`, on these ports alone: all others never pass the internal listener.
 * Its chains are the same for all Services, except for policies about connections; what differs comes with the connection, and a Service more is one
 * small chain of the listener in front.
 */
import type { TcpService, WaypointListener } from '../../ir/waypoint.ts';
import { type ConfigListenerFilter, type FilterChain, type TypeMatcherMatcher, any, encode } from '../proto/index.ts';
import { TypeUrl, type XdsResource, resourceOf } from '../resource.ts';
import { exactly } from './chain-matcher.ts';
import { onwardFacts } from './hbone-upstream.ts';
import { connectionFacts, internalCluster, internalListener } from './internal-listener.ts';
import { connectBaggage, connectionLogs, detectedPrefix, httpChainName, sourceFacts } from './istio-metrics.ts';
import { perConnectionBuffer, tcpProxy } from './listener.ts';
import { statedScopeKey } from './service-scope-key.ts';
import { duration } from './values.ts';
import type { ClientIdentity } from './waypoint-chains.ts';
import { waypointHttp, waypointHttpFilter } from './waypoint-http.ts';
import { authorizationOf, clustersOfService, distinct, matchOf, placeOf } from './waypoint-tcp.ts';

/** Name of the internal listener and of the cluster that leads to it. */
export const detectListenerName = 'waypoint-detect';

/**
 * How long a connection may be silent before it is taken as TCP. Clients of HTTP send as soon as they are connected, and their bytes are a round trip
 * within the cluster behind the connection; a server that speaks first is held up by this much.
 */
export const detectionTimeoutMs = 100;

/** The key of the scope of a connection, should it be HTTP; it chooses the chain, should it be none. */
const placeState = 'io.kgateway.place';
/** Its protocol, where somebody said so after all. */
const declaredState = 'io.kgateway.declared_protocol';
/** Where the common chain leads to. */
const clusterState = 'io.kgateway.tcp_cluster';

/** Of all Services without policies about connections. */
const plainChain = 'tcp';
const closedChain = 'closed';

/** The chain of such a port in the listener of the waypoint. */
export function detectedServiceChain(service: TcpService, identity: ClientIdentity): FilterChain {
  return {
    name: `${detectedPrefix}${placeOf(service)}`,
    filter_chain_match: matchOf(service),
    filters: [connectionFacts(identity, detectionFacts(service)), tcpProxy('detect', [{ cluster: detectListenerName, weight: 1 }])],
  };
}

/** What the internal listener has to know of a connection to a service. `declared`: its protocol, if somebody said so after all. */
export function detectionFacts(service: TcpService, declared?: 'http'): Readonly<Record<string, string>> {
  const [backend] = service.backends;
  return {
    [placeState]: placeOf(service),
    ...(backend?.cluster !== undefined && { [clusterState]: backend.cluster }),
    ...(declared !== undefined && { [declaredState]: declared }),
    [connectBaggage]: `%FILTER_STATE(${connectBaggage}:PLAIN)%`,
  };
}

/** The internal listener and the way to it. */
export function detectListenerResources(listener: WaypointListener): readonly XdsResource[] {
  const http = waypointHttp(listener);
  const services = [...listener.tcp, ...(listener.workloads?.places ?? [])].filter((s) => s.detect === true);
  const onward = listener.workloads && listener.hbone ? [onwardFacts] : [];
  const guarded = services.filter((s) => !isPlain(s));
  const bytes = encode('envoy.config.listener.v3.Listener', {
    ...internalListener(detectListenerName, httpInspector),
    listener_filters_timeout: duration(detectionTimeoutMs),
    continue_on_listener_filters_timeout: true,
    filter_chain_matcher: chainMatcher(services),
    filter_chains: [
      { name: httpChainName, filters: [sourceFacts, ...onward, waypointHttpFilter(http, statedScopeKey(placeState))] },
      { name: plainChain, filters: [sourceFacts, ...onward, toCluster, tcpProxy('tcp', [])] },
      ...guarded.map((service) => ({
        name: placeOf(service),
        filters: [sourceFacts, ...onward, ...authorizationOf(service), tcpProxy('tcp', service.backends)],
      })),
    ],
    // For a Service of which the listener in front has heard a moment before this one.
    default_filter_chain: { name: closedChain, filters: [tcpProxy('none', [])] },
    per_connection_buffer_limit_bytes: perConnectionBuffer,
    access_log: connectionLogs(http.telemetry),
  });
  const resource = { scope: listener.scope, name: detectListenerName, origins: listener.origins };
  const clusters = distinct(guarded.flatMap(clustersOfService));
  return [resourceOf(TypeUrl.listener, resource, bytes, clusters), resourceOf(TypeUrl.cluster, resource, wayThere)];
}

const wayThere = encode('envoy.config.cluster.v3.Cluster', internalCluster(detectListenerName));

const httpInspector = {
  name: 'envoy.filters.listener.http_inspector',
  typed_config: any('envoy.extensions.filters.listener.http_inspector.v3.HttpInspector', {}),
};

/** HTTP goes to its scope, anything else to the chain of its Service. A matcher may change without closing anything. */
function chainMatcher(services: readonly TcpService[]): TypeMatcherMatcher {
  const http = ['http/1.0', 'http/1.1', 'h2c'];
  const state = (key: string) => any('envoy.extensions.matching.common_inputs.network.v3.FilterStateInput', { key });
  const byPlace = services.map((s) => [placeOf(s), isPlain(s) ? plainChain : placeOf(s)] as const);
  return {
    ...exactly(state(declaredState), [['http', httpChainName]]),
    on_no_match: {
      matcher: {
        ...exactly(
          any('envoy.extensions.matching.common_inputs.network.v3.ApplicationProtocolInput', {}),
          // The inspector's findings come in quotes.
          http.map((protocol) => [`'${protocol}'`, httpChainName]),
        ),
        // No place is called like the first.
        on_no_match: { matcher: exactly(state(placeState), [['none', closedChain], ...byPlace]) },
      },
    },
  };
}

/** The chain in front must not do it: its own way on would be that cluster. */
const toCluster: ConfigListenerFilter = {
  name: 'kgateway.tcp_cluster',
  typed_config: any('envoy.extensions.filters.network.set_filter_state.v3.Config', {
    on_new_connection: [
      {
        object_key: 'envoy.tcp_proxy.cluster',
        format_string: { text_format_source: { inline_string: `%FILTER_STATE(${clusterState}:PLAIN)%` }, omit_empty_values: true },
        skip_if_empty: true,
      },
    ],
  }),
};

/** Nothing decides about its connections. */
function isPlain({ authorization, backends }: TcpService): boolean {
  return authorization === undefined && backends.length === 1;
}
