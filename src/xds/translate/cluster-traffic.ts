/** [ClusterTraffic] -> what of an Envoy cluster it decides, besides TLS. */
import type { Cluster } from '../../ir/backend.ts';
import type { ClusterTraffic, ConsistentHash, OutlierDetection } from '../../ir/traffic.ts';
import {
  type Cluster as EnvoyCluster,
  Cluster_LbPolicy as LbPolicy,
  type OutlierDetection as EnvoyOutlierDetection,
  type RouteAction_HashPolicy as HashPolicy,
  any,
} from '../proto/index.ts';
import { requestNames } from './upstream-tls.ts';
import { duration, unlimited } from './values.ts';

/** Settings of the cluster itself. One that takes its endpoints from what is asked for has no choice among them. */
export function trafficOptions(traffic: ClusterTraffic, { discovery }: Partial<Cluster>): EnvoyCluster {
  const { limits, keepalive, outlierDetection, loadBalancing } = traffic;
  const chooses = discovery?.from !== 'host' && discovery?.from !== 'original-destination';
  const weighted = chooses && traffic.locality?.by === 'shares';
  // A policy of its own has that in itself.
  const weightedHere = weighted && typeof loadBalancing !== 'object';
  const limit = (value: number | undefined) => (value === undefined ? unlimited : { value });
  return {
    ...(traffic.connectTimeoutMs !== undefined && { connect_timeout: duration(traffic.connectTimeoutMs) }),
    ...(limits && {
      circuit_breakers: {
        thresholds: [
          {
            max_connections: limit(limits.connections),
            max_pending_requests: limit(limits.pending),
            max_requests: limit(limits.requests),
            max_retries: limit(limits.retries),
          },
        ],
      },
    }),
    ...(keepalive && {
      upstream_connection_options: {
        tcp_keepalive: {
          ...(keepalive.probes !== undefined && { keepalive_probes: { value: keepalive.probes } }),
          ...(keepalive.timeSeconds !== undefined && { keepalive_time: { value: keepalive.timeSeconds } }),
          ...(keepalive.intervalSeconds !== undefined && { keepalive_interval: { value: keepalive.intervalSeconds } }),
        },
      },
    }),
    ...(outlierDetection && { outlier_detection: outlier(outlierDetection) }),
    ...((outlierDetection || weightedHere) && {
      common_lb_config: {
        ...(outlierDetection && { healthy_panic_threshold: { value: outlierDetection.minHealthPercent } }),
        ...(weightedHere && { locality_weighted_lb_config: {} }),
      },
    }),
    ...(chooses && loadBalancing !== undefined && balancing(loadBalancing, weighted)),
  };
}

/**
 * Settings of connections that speak HTTP; undefined: there are none. `asClient`: the HTTP of the client's connection. A cluster that resolves hosts
 * has options of its own.
 */
export function httpOptions(
  traffic: ClusterTraffic | undefined,
  { protocol, discovery }: Partial<Cluster>,
  asClient = false,
): EnvoyCluster {
  if (discovery?.from === 'host') return {};
  const { idleTimeoutMs, maxConnectionMs, requestsPerConnection, concurrentStreams, http2 = false, tls } = traffic ?? {};
  const common = {
    ...(idleTimeoutMs !== undefined && { idle_timeout: duration(idleTimeoutMs) }),
    ...(maxConnectionMs !== undefined && { max_connection_duration: duration(maxConnectionMs) }),
    ...(requestsPerConnection !== undefined && { max_requests_per_connection: { value: requestsPerConnection } }),
  };
  const isHttp2 = http2 || protocol === 'http2';
  const byHost = tls !== undefined && tls.sni === undefined;
  const follows = asClient && !isHttp2;
  if (!follows && !isHttp2 && !byHost && Object.keys(common).length === 0) return {};
  const streams = concurrentStreams === undefined ? {} : { max_concurrent_streams: { value: concurrentStreams } };
  return {
    typed_extension_protocol_options: {
      'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': any('envoy.extensions.upstreams.http.v3.HttpProtocolOptions', {
        ...(follows
          ? { use_downstream_protocol_config: { http_protocol_options: {}, http2_protocol_options: streams } }
          : { explicit_http_config: isHttp2 ? { http2_protocol_options: streams } : { http_protocol_options: {} } }),
        ...(Object.keys(common).length > 0 && { common_http_protocol_options: common }),
        ...(byHost && { upstream_http_protocol_options: requestNames(tls) }),
      }),
    },
  };
}

function outlier(o: OutlierDetection): EnvoyOutlierDetection {
  return {
    // Istio's checks are those that are asked for.
    enforcing_success_rate: { value: 0 },
    ...(o.consecutive5xx !== undefined && {
      consecutive_5xx: { value: o.consecutive5xx },
      enforcing_consecutive_5xx: { value: o.consecutive5xx > 0 ? 100 : 0 },
    }),
    ...(o.consecutiveGatewayErrors !== undefined && {
      consecutive_gateway_failure: { value: o.consecutiveGatewayErrors },
      enforcing_consecutive_gateway_failure: { value: o.consecutiveGatewayErrors > 0 ? 100 : 0 },
    }),
    ...(o.splitLocalOriginErrors === true && {
      split_external_local_origin_errors: true,
      ...(o.consecutiveLocalOriginFailures !== undefined && {
        consecutive_local_origin_failure: { value: o.consecutiveLocalOriginFailures },
        enforcing_consecutive_local_origin_failure: { value: o.consecutiveLocalOriginFailures > 0 ? 100 : 0 },
      }),
    }),
    ...(o.intervalMs !== undefined && { interval: duration(o.intervalMs) }),
    ...(o.baseEjectionMs !== undefined && { base_ejection_time: duration(o.baseEjectionMs) }),
    ...(o.maxEjectionPercent !== undefined && { max_ejection_percent: { value: o.maxEjectionPercent } }),
  };
}

function balancing(policy: NonNullable<ClusterTraffic['loadBalancing']>, weighted: boolean): EnvoyCluster {
  switch (policy) {
    case 'round-robin':
      return { lb_policy: LbPolicy.ROUND_ROBIN };
    case 'least-request':
      return { lb_policy: LbPolicy.LEAST_REQUEST };
    case 'random':
      return { lb_policy: LbPolicy.RANDOM };
    default:
      return { load_balancing_policy: { policies: [{ typed_extension_config: hashing(policy, weighted) }] } };
  }
}

function hashing({ by, table }: ConsistentHash, weighted: boolean) {
  const byPlace = weighted ? { locality_weighted_lb_config: {} } : {};
  const consistent_hashing_lb_config = { hash_policy: [hashPolicy(by)] };
  return table.kind === 'maglev'
    ? {
        name: 'envoy.load_balancing_policies.maglev',
        typed_config: any('envoy.extensions.load_balancing_policies.maglev.v3.Maglev', {
          consistent_hashing_lb_config,
          ...byPlace,
          ...(table.size !== undefined && { table_size: { value: table.size } }),
        }),
      }
    : {
        name: 'envoy.load_balancing_policies.ring_hash',
        typed_config: any('envoy.extensions.load_balancing_policies.ring_hash.v3.RingHash', {
          consistent_hashing_lb_config,
          ...byPlace,
          ...(table.minimumSize !== undefined && { minimum_ring_size: { value: table.minimumSize } }),
        }),
      };
}

function hashPolicy(by: ConsistentHash['by']): HashPolicy {
  switch (by.from) {
    case 'header':
      return { header: { header_name: by.name } };
    case 'query':
      return { query_parameter: { name: by.name } };
    case 'source-ip':
      return { connection_properties: { source_ip: true } };
    case 'cookie':
      return {
        cookie: {
          name: by.name,
          ...(by.path !== undefined && { path: by.path }),
          ...(by.ttlMs !== undefined && { ttl: duration(by.ttlMs) }),
        },
      };
  }
}
