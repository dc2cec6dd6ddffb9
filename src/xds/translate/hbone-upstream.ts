/**
 * To workloads of the mesh over HBONE.
 *
 *   endpoint of a cluster: internal address, with the workload's address and identities as metadata
 *     ─> connect_originate: CONNECT <address>:<port> ─> <address>:15008, over TLS, whose certificate has to show one of the identities
 *
 * One listener and one cluster serve all workloads: the address is the inner connection's own, the identities are filter state of it.
 */
import type { Endpoint } from '../../ir/backend.ts';
import { hbonePort } from '../../ir/mesh-sender.ts';
import { type TrustDomains, identitySecret, secretFileName, trustSecret } from '../../ir/mesh-identity.ts';
import {
  ApiVersion,
  type Cluster,
  Cluster_DiscoveryType as DiscoveryType,
  Cluster_LbPolicy as LbPolicy,
  type CommonTlsContext,
  type ConfigListenerFilter,
  type Http2ProtocolOptions,
  type LbEndpoint,
  type Listener,
  type SdsSecretConfig,
  SubjectAltNameMatcher_SanType as SanType,
  type TlsParameters,
  TlsParameters_TlsProtocol as TlsProtocol,
  type TransportSocket,
  any,
} from '../proto/index.ts';
import { destinationState, internalAddress, internalListener, passedFacts, rawBuffer } from './internal-listener.ts';
import { noLimits } from './values.ts';

export const originate = 'connect_originate';

/** Namespaces of the endpoint's metadata that pass over to the inner connection. */
const destination = 'envoy.filters.listener.original_dst';
const expectation = 'io.kgateway.hbone';
/** Of connections to workloads by their own addresses: where a tunnel is to lead, and the identities that may be there. */
const tunnelState = 'io.kgateway.tunnel_to';
const identitiesState = 'io.kgateway.tunnel_identities';

/** HTTP/2 of a tunnel, as ztunnel has it. */
export const hboneHttp2: Http2ProtocolOptions = {
  allow_connect: true,
  initial_stream_window_size: { value: 4 << 20 },
  initial_connection_window_size: { value: 16 << 20 },
  connection_keepalive: { interval: { seconds: 10 }, timeout: { seconds: 20 } },
};

/**
 * Agreement on keys that a quantum computer does not undo comes first, where the other side knows it: a mesh with COMPLIANCE_POLICY=pqc takes nothing
 * else.
 */
const tlsParameters: TlsParameters = {
  tls_minimum_protocol_version: TlsProtocol.TLSv1_2,
  tls_maximum_protocol_version: TlsProtocol.TLSv1_3,
  ecdh_curves: ['X25519MLKEM768', 'X25519', 'P-256'],
};

/** Our certificate, and who is of the mesh: its CAs signed, for one of its trust domains. */
export function hboneTls(trustDomains: TrustDomains, folder: string): CommonTlsContext {
  const secret = (name: string): SdsSecretConfig => ({
    name,
    sds_config: { path_config_source: { path: `${folder}/${secretFileName(name)}` }, resource_api_version: ApiVersion.V3 },
  });
  return {
    alpn_protocols: ['h2'],
    tls_params: tlsParameters,
    tls_certificate_sds_secret_configs: [secret(identitySecret)],
    combined_validation_context: {
      default_validation_context: {
        match_typed_subject_alt_names: trustDomains.map((domain) => ({
          san_type: SanType.URI,
          matcher: { prefix: `spiffe://${domain}/` },
        })),
      },
      validation_context_sds_secret_config: secret(trustSecret),
    },
  };
}

/** The listener that tunnels, and the cluster that it tunnels through; both are called the same. */
export function originateResources(
  trustDomains: TrustDomains,
  folder: string,
): { readonly listener: Listener & { readonly name: string }; readonly cluster: Cluster } {
  return {
    listener: {
      ...internalListener(originate),
      filter_chains: [
        {
          name: originate,
          filters: [
            expectedIdentities,
            {
              name: 'envoy.filters.network.tcp_proxy',
              typed_config: any('envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy', {
                stat_prefix: originate,
                cluster: originate,
                tunneling_config: { hostname: '%DOWNSTREAM_LOCAL_ADDRESS%' },
              }),
            },
          ],
        },
      ],
    },
    cluster: {
      name: originate,
      type: DiscoveryType.ORIGINAL_DST,
      lb_policy: LbPolicy.CLUSTER_PROVIDED,
      original_dst_lb_config: { upstream_port_override: { value: hbonePort } },
      connect_timeout: { seconds: 5 },
      cleanup_interval: { seconds: 60 },
      circuit_breakers: noLimits,
      transport_socket: {
        name: 'envoy.transport_sockets.tls',
        typed_config: any('envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext', {
          common_tls_context: hboneTls(trustDomains, folder),
        }),
      },
      typed_extension_protocol_options: {
        'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': any('envoy.extensions.upstreams.http.v3.HttpProtocolOptions', {
          // The address of a Pod that went is soon another Pod's.
          common_http_protocol_options: { idle_timeout: { seconds: 60 } },
          explicit_http_config: { http2_protocol_options: hboneHttp2 },
        }),
      },
    },
  };
}

const subjects = 'envoy.network.upstream_subject_alt_names';

/**
 * Those of the endpoint, else of the connection. Without any this asks for one that nobody has: no tunnel to whoever is there.
 */
const expectedIdentities: ConfigListenerFilter = {
  name: 'kgateway.expected_identities',
  typed_config: any('envoy.extensions.filters.network.set_filter_state.v3.Config', {
    on_new_connection: [
      { object_key: subjects, format_string: { text_format_source: { inline_string: `%FILTER_STATE(${identitiesState}:PLAIN)%` } } },
      {
        object_key: subjects,
        format_string: { text_format_source: { inline_string: `%DYNAMIC_METADATA(${expectation}:sans)%` }, omit_empty_values: true },
        skip_if_empty: true,
      },
    ],
  }),
};

/** Of a connection to a workload that takes tunnels: where one is to lead, and whom it may find there. */
export function tunnelFacts(identities: readonly string[]): Readonly<Record<string, string>> {
  return { [tunnelState]: '%DOWNSTREAM_LOCAL_ADDRESS%', [identitiesState]: identities.join(',') };
}

/** Passes them on to the listener that tunnels. Of other connections there is nothing to pass. */
export const onwardFacts: ConfigListenerFilter = passedFacts({
  [destinationState]: `%FILTER_STATE(${tunnelState}:PLAIN)%`,
  [identitiesState]: `%FILTER_STATE(${identitiesState}:PLAIN)%`,
});

/** The transport of a cluster of which some endpoints are tunnels: what `inner` says goes through them, and directly to the others. */
export function tunnelTransport(inner: TransportSocket = rawBuffer): TransportSocket {
  return {
    name: 'envoy.transport_sockets.internal_upstream',
    typed_config: any('envoy.extensions.transport_sockets.internal_upstream.v3.InternalUpstreamTransport', {
      passthrough_metadata: [destination, expectation].map((name) => ({ kind: { host: {} }, name })),
      transport_socket: inner,
    }),
  };
}

/** An endpoint that is reached through a tunnel. */
export function tunnelEndpoint({ address, port }: Endpoint, identities: readonly string[]): LbEndpoint {
  const place = `${address.includes(':') ? `[${address}]` : address}:${port}`;
  const text = (value: string) => ({ string_value: value });
  return {
    endpoint: { address: internalAddress(originate, place) },
    metadata: {
      filter_metadata: {
        [destination]: { fields: { local: text(place) } },
        [expectation]: { fields: { sans: text(identities.join(',')) } },
      },
    },
  };
}
