/**
 * A cluster that connects to wherever the Host header says: it resolves the name itself, and no HTTP filter is needed (Envoy:
 * `envoy.reloadable_features.dfp_cluster_resolves_hosts`).
 *
 * Reserved addresses are taken out of every answer, so that neither a name nor an address in the header leads into the proxy.
 */
import type { Cluster, UpstreamTls } from '../../ir/backend.ts';
import { reservedRanges } from '../../ir/reserved-address.ts';
import { Cluster_DnsLookupFamily, type Cluster as EnvoyCluster, Cluster_LbPolicy, type DnsCacheConfig, any } from '../proto/index.ts';
import { requestNames } from './upstream-tls.ts';

/** Reserved addresses, as Envoy writes ranges. */
export const reservedPrefixes = reservedRanges.map(({ address, bits }) => ({ address_prefix: address, prefix_len: { value: bits } }));

/** The cache of a cluster: the same for filters that resolve names for it. */
export function dnsCache(cluster: string): DnsCacheConfig {
  return {
    name: cluster,
    dns_lookup_family: Cluster_DnsLookupFamily.V4_PREFERRED,
    resolved_address_filter: { ranges: reservedPrefixes },
  };
}

/** What such a cluster has in place of endpoints. */
export function dynamicForwardProxy(
  { name, protocol = 'http1' }: Pick<Cluster, 'name'> & Partial<Cluster>,
  tls: UpstreamTls | undefined,
): Partial<EnvoyCluster> {
  // Envoy asks for both, without TLS too, unless it is told that this is meant.
  const byName = requestNames(tls);
  return {
    lb_policy: Cluster_LbPolicy.CLUSTER_PROVIDED,
    cluster_type: {
      name: 'envoy.clusters.dynamic_forward_proxy',
      typed_config: any('envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig', {
        dns_cache_config: dnsCache(name),
        ...(!(byName.auto_sni && byName.auto_san_validation) && { allow_insecure_cluster_options: true }),
      }),
    },
    typed_extension_protocol_options: {
      'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': any('envoy.extensions.upstreams.http.v3.HttpProtocolOptions', {
        explicit_http_config: protocol === 'http2' ? { http2_protocol_options: {} } : { http_protocol_options: {} },
        upstream_http_protocol_options: byName,
      }),
    },
  };
}
