// What an Envoy starts with: who it is, where its configuration comes from, and the ports that the kubelet and Prometheus ask.
//   [BootstrapOptions] -> envoyBootstrap -> bootstrapYaml -> ConfigMap of the proxy, or a file of `make run`
import { dump } from 'js-yaml';
import { isIP } from 'node:net';
import { istioMetricNames } from './istio-metric-names.ts';
import { extensions, httpListener, socketAddress, staticCluster } from './static-resources.ts';
import type { EnvoyJson } from './static-resources.ts';

/** The admin port of every Envoy that we run, on loopback only. */
export const adminPort = 15_000;
/** Answers `/ready` once the first configuration has arrived. */
export const readinessPort = 8082;
/** Answers `/metrics`. */
export const metricsPort = 9091;

/** Prefix of the node's role: the server reads the Gateway from `<prefix>~<namespace>~<name>`. */
const roleOfGateways = 'kgateway-kube-gateway-api';

/** A file in the form of file-based SDS, and the folder whose change makes Envoy read it, and the files it names, again. */
export interface SecretFile {
  readonly path: string;
  readonly watchedDirectory: string;
}

export interface XdsClient {
  /** Name or address of the server. */
  readonly host: string;
  readonly port: number;
  /** The CA that signed the server's certificate, as a secret named `xds_ca`; the certificate must name the host. Absent: no TLS. */
  readonly ca?: SecretFile;
  /** A ServiceAccount token sent as `Authorization: Bearer`, as a secret named `xds_token`. */
  readonly token?: SecretFile;
}

export interface BootstrapOptions {
  /** Id of the node; absent when it comes by `--service-node`. */
  readonly nodeId?: string;
  readonly gateway: { readonly namespace: string; readonly name: string };
  readonly xds: XdsClient;
  /** Default 15000. */
  readonly adminPort?: number;
  /** Absent: no readiness listener. */
  readonly readiness?: { readonly port: number; readonly acceptProxyProtocol?: boolean };
  /** Absent: no metrics listener. */
  readonly metrics?: { readonly port: number };
  /** The names of Istio's metrics, without Envoy's prefix. */
  readonly istioMetrics?: boolean;
  /** Where the two listeners bind: `::` takes IPv4 as well. */
  readonly bindAddress?: string;
  /** Where names are resolved; absent: as the Pod is told. */
  readonly dnsServer?: { readonly address: string; readonly port: number };
  /** Queries over one UDP socket of the resolver. Default 100. */
  readonly dnsUdpMaxQueries?: number;
  readonly logFormat?: { readonly text?: string; readonly json?: EnvoyJson };
}

/** Downstream connections above which new ones are refused. */
const maxConnections = 50_000;
const anyAddress = '0.0.0.0';

/** The bootstrap of a proxy (envoy.config.bootstrap.v3.Bootstrap). */
export function envoyBootstrap(o: BootstrapOptions): EnvoyJson {
  const admin = o.adminPort ?? adminPort;
  const listeners = [readinessListener(o), metricsListener(o)].filter((l) => l !== undefined);
  return {
    node: {
      ...(o.nodeId !== undefined && { id: o.nodeId }),
      cluster: `${o.gateway.name}.${o.gateway.namespace}`,
      metadata: { role: `${roleOfGateways}~${o.gateway.namespace}~${o.gateway.name}` },
    },
    admin: { address: socketAddress('127.0.0.1', admin), ignore_global_conn_limit: true },
    dynamic_resources: {
      ads_config: {
        api_type: 'DELTA_GRPC',
        transport_api_version: 'V3',
        set_node_on_first_message_only: true,
        grpc_services: [{ envoy_grpc: { cluster_name: 'xds_cluster' } }],
      },
      // No timeout: a proxy without its first configuration is not ready, however long the controller takes.
      cds_config: { ads: {}, resource_api_version: 'V3', initial_fetch_timeout: '0s' },
      lds_config: { ads: {}, resource_api_version: 'V3', initial_fetch_timeout: '0s' },
    },
    static_resources: {
      ...(listeners.length > 0 && { listeners }),
      clusters: [xdsCluster(o.xds), ...(listeners.length > 0 ? [staticCluster('admin', socketAddress('127.0.0.1', admin))] : [])],
    },
    // Waypoints read server names of TLS behind it, and end tunnels.
    bootstrap_extensions: [
      {
        name: 'envoy.bootstrap.internal_listener',
        typed_config: { '@type': `${extensions}.bootstrap.internal_listener.v3.InternalListener` },
      },
      ...(o.istioMetrics === true ? [istioMetricNames] : []),
    ],
    // Statistics of a cluster begin with its first request: those of 10,000 idle ones take 160 MB, and every 5 s 130 ms in which no configuration is read.
    deferred_stat_options: { enable_deferred_creation_stats: true },
    // A time series that nothing was counted in for this long is forgotten.
    ...(o.istioMetrics === true && { stats_eviction_interval: '3600s' }),
    layered_runtime: {
      layers: [
        // Regular expressions of users pass through RE2 in the controller first; Envoy's own limit of 100 would refuse whole resources.
        // Between listeners of ours the end of an answer would be taken for a reset, and the answer lost with it.
        {
          name: 'static',
          static_layer: {
            're2.max_program_size.error_level': 32_768,
            'envoy.reloadable_features.enable_send_rst_on_user_space_socket': false,
          },
        },
        { name: 'admin', admin_layer: {} },
      ],
    },
    overload_manager: {
      refresh_interval: '0.25s',
      resource_monitors: [
        {
          name: 'envoy.resource_monitors.global_downstream_max_connections',
          typed_config: {
            '@type': `${extensions}.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig`,
            max_active_downstream_connections: maxConnections,
          },
        },
      ],
    },
    typed_dns_resolver_config: {
      name: 'envoy.network.dns_resolver.cares',
      typed_config: {
        '@type': `${extensions}.network.dns_resolver.cares.v3.CaresDnsResolverConfig`,
        // One socket for ever would stay with one DNS server behind a Service.
        udp_max_queries: o.dnsUdpMaxQueries ?? 100,
        ...(o.dnsServer && { resolvers: [socketAddress(o.dnsServer.address, o.dnsServer.port)] }),
      },
    },
    ...(o.logFormat && {
      application_log_config: {
        log_format: o.logFormat.json ? { json_format: o.logFormat.json } : { text_format: o.logFormat.text ?? '%v' },
      },
    }),
  };
}

/** A bootstrap as YAML: the same bytes for the same options. */
export function bootstrapYaml(bootstrap: EnvoyJson): string {
  return dump(bootstrap, { noRefs: true, lineWidth: 140 });
}

/** The file that names the ServiceAccount token, for `XdsClient.token`. */
export function tokenSecret(tokenPath: string): string {
  return secretFile({ name: 'xds_token', generic_secret: { secret: { filename: tokenPath } } });
}

/** The file that names the CA and the name that the server's certificate must bear, for `XdsClient.ca`. */
export function caSecret(caPath: string, serverName: string): string {
  const match = isIP(serverName)
    ? { san_type: 'IP_ADDRESS', matcher: { exact: serverName } }
    : { san_type: 'DNS', matcher: { exact: serverName } };
  return secretFile({ name: 'xds_ca', validation_context: { trusted_ca: { filename: caPath }, match_typed_subject_alt_names: [match] } });
}

function secretFile(secret: EnvoyJson): string {
  return JSON.stringify({ resources: [{ '@type': `${extensions}.transport_sockets.tls.v3.Secret`, ...secret }] });
}

function sdsConfig(name: string, file: SecretFile): EnvoyJson {
  return {
    name,
    sds_config: {
      path_config_source: { path: file.path, watched_directory: { path: file.watchedDirectory } },
      resource_api_version: 'V3',
    },
  };
}

function xdsCluster(xds: XdsClient): EnvoyJson {
  return {
    ...staticCluster('xds_cluster', socketAddress(xds.host, xds.port)),
    upstream_connection_options: { tcp_keepalive: { keepalive_time: 10, keepalive_interval: 10, keepalive_probes: 3 } },
    ...(xds.ca && {
      transport_socket: {
        name: 'envoy.transport_sockets.tls',
        typed_config: {
          '@type': `${extensions}.transport_sockets.tls.v3.UpstreamTlsContext`,
          ...(isIP(xds.host) === 0 && { sni: xds.host }),
          common_tls_context: {
            tls_params: { tls_minimum_protocol_version: 'TLSv1_3', tls_maximum_protocol_version: 'TLSv1_3' },
            alpn_protocols: ['h2'],
            validation_context_sds_secret_config: sdsConfig('xds_ca', xds.ca),
          },
        },
      },
    }),
    typed_extension_protocol_options: {
      'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
        '@type': `${extensions}.upstreams.http.v3.HttpProtocolOptions`,
        // The keepalive notices a controller that went away without closing, so that the stream moves to another one.
        explicit_http_config: { http2_protocol_options: { connection_keepalive: { interval: '30s', timeout: '5s' } } },
        ...(xds.token && { http_filters: [bearerToken(xds.token), upstreamCodec] }),
      },
    },
  };
}

/** Reads the token again whenever the kubelet rotates it; it counts for the next stream. */
function bearerToken(token: SecretFile): EnvoyJson {
  return {
    name: 'envoy.filters.http.credential_injector',
    typed_config: {
      '@type': `${extensions}.filters.http.credential_injector.v3.CredentialInjector`,
      overwrite: true,
      credential: {
        name: 'envoy.http.injected_credentials.generic',
        typed_config: {
          '@type': `${extensions}.http.injected_credentials.generic.v3.Generic`,
          header_value_prefix: 'Bearer ',
          credential: sdsConfig('xds_token', token),
        },
      },
    },
  };
}

const upstreamCodec: EnvoyJson = {
  name: 'envoy.filters.http.upstream_codec',
  typed_config: { '@type': `${extensions}.filters.http.upstream_codec.v3.UpstreamCodec` },
};

/** Envoy's own `/ready` answers 200 only between the first complete configuration and the start of draining. */
function readinessListener(o: BootstrapOptions): EnvoyJson | undefined {
  if (!o.readiness) return undefined;
  const address = socketAddress(o.bindAddress ?? anyAddress, o.readiness.port);
  return {
    ...httpListener('readiness_listener', address, [adminRoute('/ready')]),
    ...(o.readiness.acceptProxyProtocol === true && {
      listener_filters: [
        {
          name: 'envoy.filters.listener.proxy_protocol',
          typed_config: {
            '@type': `${extensions}.filters.listener.proxy_protocol.v3.ProxyProtocol`,
            // The kubelet's probe never sends it.
            allow_requests_without_proxy_protocol: true,
          },
        },
      ],
    }),
  };
}

function metricsListener(o: BootstrapOptions): EnvoyJson | undefined {
  if (!o.metrics) return undefined;
  const address = socketAddress(o.bindAddress ?? anyAddress, o.metrics.port);
  return httpListener('prometheus_listener', address, [adminRoute('/metrics', '/stats/prometheus?usedonly')]);
}

/** One path of the admin interface, GET alone: whoever reaches the port reaches nothing else of it. */
function adminRoute(path: string, adminPath?: string): EnvoyJson {
  return {
    match: { path, headers: [{ name: ':method', string_match: { exact: 'GET' } }] },
    route: { cluster: 'admin', ...(adminPath !== undefined && { prefix_rewrite: adminPath }) },
  };
}
