/** The settings of a DestinationRule, field by field: [TrafficPolicySettings] -> ClusterTraffic, and what of it has no effect here. */
import type { ObjectRef } from '../ir/object-ref.ts';
import type { ClusterTraffic, ConsistentHash, OutlierDetection } from '../ir/traffic.ts';
import type { TrafficPolicySettings } from '../kube/types/istio-networking.ts';
import { durationMs } from './duration.ts';
import { localityPolicy, localityProblems } from './traffic-locality.ts';
import type { PolicyProblem } from './policy.ts';
import { type TlsBackend, tlsProblems, upstreamTls } from './traffic-tls.ts';

type LoadBalancer = NonNullable<TrafficPolicySettings['loadBalancer']>;

const simple: Readonly<Record<string, ClusterTraffic['loadBalancing']>> = {
  ROUND_ROBIN: 'round-robin',
  LEAST_REQUEST: 'least-request',
  LEAST_CONN: 'least-request',
  RANDOM: 'random',
};

/** Translates settings. */
export function trafficOf(settings: TrafficPolicySettings, origin: ObjectRef, backend: TlsBackend): ClusterTraffic {
  const { connectionPool, loadBalancer, outlierDetection, tls } = settings;
  const { tcp, http } = connectionPool ?? {};
  const loadBalancing = loadBalancer && loadBalancingOf(loadBalancer);
  const locality = localityPolicy(loadBalancer?.localityLbSetting, outlierDetection !== undefined);
  const ownTls = tls && upstreamTls(tls, backend);
  const alive = tcp?.tcpKeepalive;
  return {
    origin,
    ...(loadBalancing && { loadBalancing }),
    ...(connectionPool && {
      limits: {
        ...positive('connections', tcp?.maxConnections),
        ...positive('pending', http?.http1MaxPendingRequests),
        ...positive('requests', http?.http2MaxRequests),
        ...positive('retries', http?.maxRetries),
      },
    }),
    ...positive('connectTimeoutMs', durationMs(tcp?.connectTimeout)),
    ...positive('idleTimeoutMs', durationMs(http?.idleTimeout ?? tcp?.idleTimeout)),
    ...positive('maxConnectionMs', durationMs(tcp?.maxConnectionDuration)),
    ...(alive && {
      keepalive: {
        ...positive('probes', alive.probes),
        ...positive('timeSeconds', seconds(alive.time)),
        ...positive('intervalSeconds', seconds(alive.interval)),
      },
    }),
    ...positive('requestsPerConnection', http?.maxRequestsPerConnection),
    ...positive('concurrentStreams', http?.maxConcurrentStreams),
    ...(http?.h2UpgradePolicy === 'UPGRADE' && { http2: true }),
    ...(outlierDetection && { outlierDetection: outlierOf(outlierDetection) }),
    ...(locality && { locality }),
    ...(ownTls && { tls: ownTls }),
  };
}

function loadBalancingOf({ simple: name, consistentHash: hash }: LoadBalancer): ClusterTraffic['loadBalancing'] {
  if (!hash) return name === undefined ? undefined : simple[name];
  const by = hashKeyOf(hash);
  const table: ConsistentHash['table'] = hash.maglev
    ? { kind: 'maglev', ...positive('size', hash.maglev.tableSize) }
    : { kind: 'ring', ...positive('minimumSize', hash.ringHash?.minimumRingSize ?? hash.minimumRingSize) };
  return by && { by, table };
}

function hashKeyOf(hash: NonNullable<LoadBalancer['consistentHash']>): ConsistentHash['by'] | undefined {
  if (hash.httpHeaderName !== undefined) return { from: 'header', name: hash.httpHeaderName };
  if (hash.httpQueryParameterName !== undefined) return { from: 'query', name: hash.httpQueryParameterName };
  if (hash.useSourceIp === true) return { from: 'source-ip' };
  const { httpCookie: cookie } = hash;
  if (!cookie) return undefined;
  const ttlMs = durationMs(cookie.ttl);
  return {
    from: 'cookie',
    name: cookie.name,
    ...(cookie.path !== undefined && { path: cookie.path }),
    ...(ttlMs !== undefined && { ttlMs }),
  };
}

function outlierOf(o: NonNullable<TrafficPolicySettings['outlierDetection']>): OutlierDetection {
  const intervalMs = durationMs(o.interval);
  const baseEjectionMs = durationMs(o.baseEjectionTime);
  return {
    ...given('consecutive5xx', o.consecutive5xxErrors),
    ...given('consecutiveGatewayErrors', o.consecutiveGatewayErrors),
    ...given('consecutiveLocalOriginFailures', o.consecutiveLocalOriginFailures),
    ...(o.splitExternalLocalOriginErrors === true && { splitLocalOriginErrors: true }),
    ...given('intervalMs', intervalMs),
    ...given('baseEjectionMs', baseEjectionMs),
    ...positive('maxEjectionPercent', o.maxEjectionPercent),
    minHealthPercent: o.minHealthPercent ?? 0,
  };
}

/** What of the settings is not translated. */
export function unsupportedSettings(settings: TrafficPolicySettings, field: string): readonly PolicyProblem[] {
  const { loadBalancer, connectionPool, outlierDetection, tls, ...rest } = settings as TrafficPolicySettings & Record<string, unknown>;
  const unknown = (at: string, object: object | undefined, known: readonly string[]): PolicyProblem[] =>
    Object.keys(object ?? {})
      .filter((key) => !known.includes(key))
      .map((key) => ({ field: `${at}.${key}`, message: 'is not supported and has no effect' }));
  return [
    ...unknown(field, rest, ['port']),
    ...unknown(`${field}.loadBalancer`, loadBalancer, ['simple', 'consistentHash', 'localityLbSetting']),
    ...localityProblems(loadBalancer?.localityLbSetting, outlierDetection !== undefined, `${field}.loadBalancer.localityLbSetting`),
    ...(loadBalancer?.simple !== undefined && !Object.hasOwn(simple, loadBalancer.simple)
      ? [
          {
            field: `${field}.loadBalancer.simple`,
            message: `${loadBalancer.simple} is not supported and has no effect; use ROUND_ROBIN, LEAST_REQUEST or RANDOM`,
          },
        ]
      : []),
    ...unknown(`${field}.connectionPool`, connectionPool, ['tcp', 'http']),
    ...unknown(`${field}.connectionPool.http`, connectionPool?.http, [
      'http1MaxPendingRequests',
      'http2MaxRequests',
      'maxRequestsPerConnection',
      'maxRetries',
      'idleTimeout',
      'h2UpgradePolicy',
      'maxConcurrentStreams',
    ]),
    ...(tls ? tlsProblems(tls, `${field}.tls`) : []),
  ];
}

function positive<K extends string>(key: K, value: number | undefined): Partial<Record<K, number>> {
  return value !== undefined && value > 0 ? given(key, value) : {};
}

function given<K extends string>(key: K, value: number | undefined): Partial<Record<K, number>> {
  return value === undefined ? {} : ({ [key]: value } as Record<K, number>);
}

function seconds(text: string | undefined): number | undefined {
  const ms = durationMs(text);
  return ms === undefined ? undefined : Math.ceil(ms / 1000);
}
