/**
 * [WaypointListener] -> Envoy Listener, for the sandwich: the ztunnel of the Pod terminates HBONE and passes each stream on over loopback,
 * with a PROXY header (version 2) that says what address was asked for, and by whom.
 *
 * On loopback and nowhere else: whoever reaches this port is believed about its identity.
 */
import { peerPrincipalState } from '../../ir/authorization.ts';
import type { WaypointListener } from '../../ir/waypoint.ts';
import {
  type FilterChain,
  type Listener,
  type ConfigListenerFilter,
  ProxyProtocolConfig_Version as ProxyProtocolVersion,
  any,
  encode,
} from '../proto/index.ts';
import { TypeUrl, type XdsResource, versionOf } from '../resource.ts';
import { type Binding, connectionManager } from './listener.ts';
import { serviceScopeKeyMutation, serviceScopedRoutes } from './service-scope-key.ts';
import { constantChain, tcpClusters, tcpServiceChain } from './waypoint-tcp.ts';

/** Type of the TLV with the SPIFFE identity of the client, as ztunnel sends it. */
const principalTlv = 0xd0;

/** Translates the listener of a waypoint. A binding of `::` stands for both loopback addresses; without a cluster it is an address of its own. */
export function waypointListenerResource(listener: WaypointListener, binding: Binding): XdsResource {
  const inPod = binding.address === '::';
  const socket = (address: string) => ({ socket_address: { address, port_value: binding.port } });
  const message: Listener = {
    name: 'waypoint',
    address: socket(inPod ? '127.0.0.1' : binding.address),
    // Where a Pod has no IPv6, the address cannot be assigned, and without freebind the whole listener would be refused.
    ...(inPod && { additional_addresses: [{ address: socket('::1') }], freebind: { value: true } }),
    listener_filters: [proxyProtocol],
    // Only chains come and go: whatever else changes of a listener closes every connection through it.
    filter_chains: [constantChain, ...listener.tcp.map((service) => tcpServiceChain(service, clientIdentity))],
    default_filter_chain: httpChain,
    per_connection_buffer_limit_bytes: { value: 32 * 1024 },
  };
  const bytes = encode('envoy.config.listener.v3.Listener', message);
  return {
    scope: listener.scope,
    type: TypeUrl.listener,
    name: 'waypoint',
    version: versionOf(bytes),
    bytes,
    origins: listener.origins,
    clusters: tcpClusters(listener),
  };
}

const proxyProtocol = {
  name: 'envoy.filters.listener.proxy_protocol',
  typed_config: any('envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol', {
    stat_prefix: 'waypoint',
    disallowed_versions: [ProxyProtocolVersion.V1],
    rules: [{ tlv_type: principalTlv, on_tlv_present: { key: 'peer_principal' } }],
  }),
};

/** First in every chain: policies and routes read the identity from filter state. Absent for a client without one. */
const clientIdentity: ConfigListenerFilter = {
  name: 'kgateway.client_identity',
  typed_config: any('envoy.extensions.filters.network.set_filter_state.v3.Config', {
    on_new_connection: [
      {
        object_key: peerPrincipalState,
        factory_key: 'envoy.string',
        format_string: {
          text_format_source: { inline_string: '%DYNAMIC_METADATA(envoy.filters.listener.proxy_protocol:peer_principal)%' },
          omit_empty_values: true,
        },
        skip_if_empty: true,
      },
    ],
  }),
};

/**
 * What a proxy before us said about the client is believed: behind an ingress, `X-Forwarded-Proto` stays `https`, and `remote.ip` of policies is the
 * address that the ingress saw. Takes every connection that no TCP Service asked for; where there is no Service at the address, the
 * answer is 404.
 */
const httpChain: FilterChain = {
  name: 'http',
  filters: [
    clientIdentity,
    {
      name: 'envoy.filters.network.http_connection_manager',
      typed_config: any('envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager', {
        ...connectionManager(serviceScopedRoutes, serviceScopeKeyMutation),
        xff_num_trusted_hops: 1,
      }),
    },
  ],
};
