/**
 * HBONE in the proxy itself.
 *
 *   connect_terminate: 15008, TLS of the mesh, CONNECT ─> main_internal: the chains of a waypoint ─> clusters
 *   clusters: endpoints that speak HBONE ─> connect_originate: CONNECT over TLS of the mesh to port 15008 of the endpoint (hbone-upstream.ts)
 *
 * The address that a CONNECT asks for, the client's own address and its identity pass over to the inner connection as filter state.
 */
import { peerPrincipalState } from '../../ir/authorization.ts';
import type { TrustDomains } from '../../ir/mesh-identity.ts';
import type { WaypointListener } from '../../ir/waypoint.ts';
import {
  type Cluster,
  type HttpConnectionManager,
  HttpConnectionManager_CodecType as CodecType,
  type Listener,
  any,
  encode,
} from '../proto/index.ts';
import { TypeUrl, type XdsResource, resourceOf } from '../resource.ts';
import { hboneHttp2, hboneTls, originateResources } from './hbone-upstream.ts';
import { clientState, destinationState, internalCluster, internalListener, passedOn } from './internal-listener.ts';
import { type Binding, managerFilter, perConnectionBuffer, router, socketAddress } from './listener.ts';
import { type ClientIdentity, clustersOfChains, waypointChains } from './waypoint-chains.ts';

const terminate = 'connect_terminate';
const inner = 'main_internal';

/** What clients say about themselves on a CONNECT, as filter state for access logs. Nothing is decided by it. */
export const connectMetadata = [
  { header: 'baggage', state: 'io.kgateway.connect.baggage' },
  { header: 'forwarded', state: 'io.kgateway.connect.forwarded' },
  { header: 'traceparent', state: 'io.kgateway.connect.traceparent' },
] as const;

/** Everything that a waypoint needs for HBONE. `identity` is the folder with its certificate. */
export function hboneResources(listener: WaypointListener, binding: Binding, identity: string): readonly XdsResource[] {
  const { scope, origins, trustDomains } = listener;
  const ofListener = (message: Listener & { readonly name: string }, clusters: readonly string[]): XdsResource =>
    resourceOf(TypeUrl.listener, { scope, origins, name: message.name }, encode('envoy.config.listener.v3.Listener', message), clusters);
  const ofCluster = (name: string, message: Cluster): XdsResource =>
    resourceOf(TypeUrl.cluster, { scope, origins, name }, encode('envoy.config.cluster.v3.Cluster', message));
  const originate = originateResources(trustDomains, identity);
  return [
    ofListener(terminateListener(binding, trustDomains, identity), [inner]),
    ofListener(
      {
        ...internalListener(inner),
        ...waypointChains(listener, identityOfTunnel),
        per_connection_buffer_limit_bytes: perConnectionBuffer,
      },
      clustersOfChains(listener),
    ),
    ofListener(originate.listener, [originate.listener.name]),
    ofCluster(inner, internalCluster(inner)),
    ofCluster(originate.listener.name, originate.cluster),
  ];
}

/** The tunnel's filter state, which comes with the inner connection. */
const identityOfTunnel: ClientIdentity = { filters: [], source: `%FILTER_STATE(${peerPrincipalState}:PLAIN)%` };

function terminateListener(binding: Binding, trustDomains: TrustDomains, identity: string): Listener & { readonly name: string } {
  return {
    name: terminate,
    address: { socket_address: socketAddress(binding) },
    // Clients keep few connections with many streams, and a connection stays with its worker: hand them out evenly.
    connection_balance_config: { exact_balance: {} },
    filter_chains: [
      {
        name: terminate,
        transport_socket: {
          name: 'envoy.transport_sockets.tls',
          typed_config: any('envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext', {
            common_tls_context: hboneTls(trustDomains, identity),
            require_client_certificate: { value: true },
            // A resumed session would not show its certificate again, and CAs come and go.
            disable_stateless_session_resumption: true,
            disable_stateful_session_resumption: true,
          }),
        },
        filters: [managerFilter(connectManager)],
      },
    ],
    per_connection_buffer_limit_bytes: { value: 1024 * 1024 },
  };
}

/** `10.96.0.1:80`, `[fd00::1]:80`. Names are not served: a client that does not know the address cannot mean one of our Services. */
const addressAndPort = String.raw`(\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}|\[[0-9a-fA-F:.]+\]):\d{1,5}`;

const connectManager: HttpConnectionManager = {
  stat_prefix: terminate,
  codec_type: CodecType.HTTP2,
  http2_protocol_options: { ...hboneHttp2, max_concurrent_streams: { value: 100 } },
  upgrade_configs: [{ upgrade_type: 'CONNECT' }],
  stream_idle_timeout: {},
  // The peer is the client: what it says about forwarding on a CONNECT is not looked at.
  use_remote_address: { value: true },
  skip_xff_append: true,
  generate_request_id: { value: false },
  drain_timeout: { seconds: 5 },
  route_config: {
    name: terminate,
    validate_clusters: { value: false },
    virtual_hosts: [
      {
        name: terminate,
        domains: ['*'],
        routes: [
          {
            match: { connect_matcher: {}, headers: [{ name: ':authority', string_match: { safe_regex: { regex: addressAndPort } } }] },
            route: { cluster: inner, timeout: {}, upgrade_configs: [{ upgrade_type: 'CONNECT', connect_config: {} }] },
          },
        ],
      },
    ],
  },
  http_filters: [
    {
      name: 'kgateway.connect',
      typed_config: any('envoy.extensions.filters.http.set_filter_state.v3.Config', {
        on_request_headers: [
          passedOn(destinationState, '%REQ(:AUTHORITY)%'),
          passedOn(clientState, '%DOWNSTREAM_DIRECT_REMOTE_ADDRESS%'),
          passedOn(peerPrincipalState, '%DOWNSTREAM_PEER_URI_SAN%', 'envoy.hashable_string'),
          ...connectMetadata.map(({ header, state: key }) => passedOn(key, `%REQ(${header.toUpperCase()})%`, 'envoy.hashable_string')),
        ],
      }),
    },
    router,
  ],
};
