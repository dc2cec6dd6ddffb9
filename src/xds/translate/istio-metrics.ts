/**
 * Istio's metrics, as its dashboards expect them, by Envoy's own stats access logger.
 *
 *   who asks ─> filter state, once a connection ─┐
 *   Cluster, VirtualHost, endpoint: metadata ────┼─> labels ─> [stats access logger] of the listener ─> :9091/metrics
 *   the request ─────────────────────────────────┘
 *
 * Nothing here depends on a Service or route, so the listener never changes for one. What cannot be known is `unknown`, as in Istio.
 * Their names come without the prefix `envoy_` only where the bootstrap has registered the name space (docs/decisions/0008-istio-metrics.md).
 */
import { peerPrincipalState } from '../../ir/authorization.ts';
import { type IstioMetric, type Told, type WaypointTelemetry, istioMetrics, serviceMetadata } from '../../ir/telemetry.ts';
import {
  type AccessLog,
  type AccessLoggersStatsConfig_Stat as Stat,
  type AccessLoggersStatsConfig_Tag as Tag,
  type Any,
  type ConfigListenerFilter,
  AccessLoggersStatsConfig_Histogram_Unit as Unit,
  any,
} from '../proto/index.ts';
import { loggersOf } from './service-telemetry.ts';

/** The name space that Envoy shows without a prefix. */
const nameSpace = 'wasmcustom';

/** More time series than this would cost the proxy more than they tell: what is new then is not counted. */
const maxSeries = 20_000;

const unknown = 'unknown';

/** What a client says about itself where HBONE ends in the proxy (hbone-listener.ts): believed for nothing but its name in metrics. */
export const connectBaggage = 'io.kgateway.connect.baggage';

const source = {
  workload: 'io.kgateway.source_workload',
  principal: 'io.kgateway.source_principal',
  namespace: 'io.kgateway.source_namespace',
  account: 'io.kgateway.source_account',
  security: 'io.kgateway.security',
} as const;
/** Holds `unknown`. */
const unknownState = 'io.kgateway.unknown';

const celWithStrings = any('envoy.extensions.formatter.cel.v3.Cel', {
  cel_config: { enable_string_functions: true, enable_string_conversion: true },
});

/** Keeps of the client's identity what metrics say about it: computed once a connection. */
export const sourceFacts: ConfigListenerFilter = {
  name: 'kgateway.source',
  typed_config: any('envoy.extensions.filters.network.set_filter_state.v3.Config', {
    on_new_connection: [
      stateOf(unknownState, unknown),
      stateOf(source.principal, unknown),
      stateOf(source.namespace, unknown),
      stateOf(source.account, unknown),
      stateOf(source.workload, unknown),
      stateOf(source.security, 'none'),
      stateOf(source.principal, `%FILTER_STATE(${peerPrincipalState}:PLAIN)%`),
      stateOf(source.namespace, identity("split('/ns/')[1].split('/')[0]")),
      stateOf(source.account, identity("split('/sa/')[1]")),
      stateOf(source.workload, identity("split('/sa/')[1]")),
      stateOf(source.workload, partOf(connectBaggage, "split('k8s.deployment.name=')[1].split(',')[0]")),
      stateOf(source.security, identity("startsWith('spiffe://') ? 'mutual_tls' : 'none'")),
    ],
  }),
};

/** A part of the identity; empty without one. */
function identity(expression: string): string {
  return partOf(peerPrincipalState, expression);
}

function partOf(key: string, expression: string): string {
  return `%CEL(string(filter_state['${key}']).${expression})%`;
}

function stateOf(object_key: string, format: string) {
  return {
    object_key,
    factory_key: 'envoy.string',
    format_string: {
      formatters: [{ name: 'envoy.formatter.cel', typed_config: celWithStrings }],
      text_format_source: { inline_string: format },
      omit_empty_values: true,
    },
    skip_if_empty: true,
  };
}

/** What a tag becomes: by prefix, else `otherwise`. */
interface TagRules {
  readonly prefix: Readonly<Record<string, Change>>;
  readonly otherwise: Change;
}

type Change = { readonly is: string } | 'drop stat' | 'drop tag';

/** What is sent to an address tells of the workload there: with the connection, as no endpoint does. */
const destination = { workload: 'io.kgateway.destination_workload', namespace: 'io.kgateway.destination_namespace' } as const;

/** The same of a workload, by key of filter state. */
export function destinationFacts({ workload, namespace }: { readonly workload: string; readonly namespace: string }) {
  return { [destination.workload]: workload, [destination.namespace]: namespace };
}

/** The first of them in metadata, else in filter state. Rules of tags for what is empty would cost every request twice as much. */
function known(key: string, kinds: readonly string[], states: readonly string[] = []): string {
  return firstOf([
    ...kinds.map((kind) => ({ command: 'METADATA', param: `${kind}:${serviceMetadata}:${key}` })),
    ...states.map((name) => ({ command: 'FILTER_STATE', param: `${name}:PLAIN` })),
  ]);
}

/** The value of the first operator that has one, else `unknown`. A per cent sign inside would end the operator around them. */
function firstOf(known: readonly { readonly command: string; readonly param: string }[]): string {
  const operators = [...known, { command: 'FILTER_STATE', param: `${unknownState}:PLAIN` }];
  return `%COALESCE(${JSON.stringify({ operators }).replaceAll('%', '\\u0025')})%`;
}

/** Of the service that the request was sent to; where it was sent nowhere, of the one that was asked for. */
const ofAsked = ['CLUSTER', 'VIRTUAL_HOST'];
const ofService = (key: string): string => known(key, ofAsked);
const state = (key: string): string => `%FILTER_STATE(${key}:PLAIN)%`;
const workload = known('workload', ['UPSTREAM_HOST'], [destination.workload]);
// Clusters of other names would be other meshes, of which ztunnel says nothing.
const mesh = 'Kubernetes';

/** Labels of both kinds of traffic. */
const common: readonly (readonly [name: string, format: string, rules?: TagRules])[] = [
  ['reporter', 'waypoint'],
  ['source_workload', state(source.workload)],
  ['source_workload_namespace', state(source.namespace)],
  ['source_principal', state(source.principal)],
  ['source_app', state(source.account)],
  ['source_canonical_service', state(source.account)],
  ['source_canonical_revision', 'latest'],
  ['source_cluster', mesh],
  ['destination_workload', workload],
  ['destination_workload_namespace', known('namespace', ofAsked, [destination.namespace])],
  ['destination_app', workload],
  ['destination_canonical_service', workload],
  ['destination_canonical_revision', 'latest'],
  ['destination_cluster', mesh],
  ['destination_service', ofService('host')],
  ['destination_service_name', ofService('name')],
  ['destination_service_namespace', ofService('namespace')],
  ['response_flags', '%RESPONSE_FLAGS%'],
  ['connection_security_policy', state(source.security)],
];

const ofRequests: typeof common = [
  ...common,
  ['request_protocol', '%REQ(CONTENT-TYPE)%', { prefix: { 'application/grpc': { is: 'grpc' } }, otherwise: { is: 'http' } }],
  ['response_code', '%RESPONSE_CODE%'],
  ['grpc_response_status', '%GRPC_STATUS_NUMBER%'],
];

/** The chain of requests, which has its own logger. */
export const httpChainName = 'http';
/** Begins the names of chains that pass connections on to another listener of ours, which tells of them. */
export const passedOnPrefix = 'tls|';
/** The same, where the protocol is found out. */
export const detectedPrefix = 'detect|';
const ofConnections: typeof common = [...common, ['request_protocol', 'tcp']];
/** Of connections as well, and never seen: those that are told of elsewhere are not counted. No Telemetry can take its name. */
const chain: (typeof common)[number] = [
  'chain.',
  '%FILTER_CHAIN_NAME%',
  { prefix: { [httpChainName]: 'drop stat', [passedOnPrefix]: 'drop stat', [detectedPrefix]: 'drop stat' }, otherwise: 'drop tag' },
];

function ruleMatcher({ prefix, otherwise }: TagRules): Tag['rules'] {
  const map = Object.fromEntries(Object.entries(prefix).map(([value, change]) => [value, { action: action(change) }]));
  return {
    matcher_tree: {
      input: { name: 'value', typed_config: any('envoy.extensions.matching.common_inputs.stats.v3.StatTagValueInput', {}) },
      prefix_match_map: { map },
    },
    on_no_match: { action: action(otherwise) },
  };
}

function action(change: Change): { name: string; typed_config: Any } {
  const config =
    change === 'drop stat' ? { drop_stat: {} } : change === 'drop tag' ? { drop_tag: {} } : { update_tag: { new_tag_value: change.is } };
  return { name: 'change', typed_config: any('envoy.extensions.matching.actions.transform_stat.v3.TransformStat', config) };
}

function tags(labels: typeof common): readonly Tag[] {
  return labels.map(([name, value_format, rules]) => ({ name, value_format, ...(rules && { rules: ruleMatcher(rules) }) }));
}

interface Measured {
  readonly metric: IstioMetric;
  /** Of a counter; absent: one. */
  readonly value?: string;
  /** Of a histogram. */
  readonly unit?: Unit;
  /** Labels that it has; absent: all. */
  readonly labels?: readonly string[];
}

/**
 * What dashboards of Istio ask of histograms. Each label of each metric costs a request about one per cent of its way through the proxy
 * (docs/decisions/0008-istio-metrics.md), so only counters have all of them.
 */
const ofHistograms = [
  'reporter',
  'source_workload',
  'source_workload_namespace',
  'destination_workload',
  'destination_workload_namespace',
  'destination_service',
  'destination_service_name',
  'destination_service_namespace',
  'connection_security_policy',
];

const requests: readonly Measured[] = [
  { metric: 'REQUEST_COUNT' },
  { metric: 'REQUEST_DURATION', value: '%DURATION%', unit: Unit.Milliseconds, labels: ofHistograms },
  { metric: 'REQUEST_SIZE', value: '%BYTES_RECEIVED%', unit: Unit.Bytes, labels: ofHistograms },
  { metric: 'RESPONSE_SIZE', value: '%BYTES_SENT%', unit: Unit.Bytes, labels: ofHistograms },
];

const connections: readonly Measured[] = [
  { metric: 'TCP_OPENED_CONNECTIONS' },
  { metric: 'TCP_CLOSED_CONNECTIONS' },
  { metric: 'TCP_SENT_BYTES', value: '%BYTES_SENT%' },
  { metric: 'TCP_RECEIVED_BYTES', value: '%BYTES_RECEIVED%' },
];

/** The logger of the HTTP connection manager. None when all metrics are left out. */
export function requestMetrics(told: Told): readonly AccessLog[] {
  return logger(requests, ofRequests, told);
}

/** The loggers of a listener: they hear of every connection when it ends, and tell of those that were no requests. */
export function connectionLogs(telemetry: WaypointTelemetry): readonly AccessLog[] {
  return loggersOf(telemetry, 'connections', (told) => logger(connections, [chain, ...ofConnections], told));
}

function logger(measured: readonly Measured[], labels: typeof common, telemetry: Told): readonly AccessLog[] {
  const wanted = measured.filter((m) => !telemetry.disabled.includes(m.metric));
  if (wanted.length === 0) return [];
  const stat = ({ metric, labels: its }: Measured): Stat => {
    const changes = Object.entries(telemetry.labels[metric] ?? {});
    const kept = labels.filter(([name]) => its?.includes(name) !== false && !changes.some(([changed]) => changed === name));
    const set = changes.flatMap(([name, param]) => (param === null ? [] : [[name, firstOf([{ command: 'CEL', param }])] as const]));
    return { name: istioMetrics[metric], tags: tags([...kept, ...set]) };
  };
  const counters = wanted.filter((m) => m.unit === undefined);
  const histograms = wanted.filter((m) => m.unit !== undefined);
  return [
    {
      name: 'envoy.access_loggers.stats',
      typed_config: any('envoy.extensions.access_loggers.stats.v3.Config', {
        stats_scope: {
          prefix: nameSpace,
          max_counters: { value: maxSeries },
          max_histograms: { value: maxSeries },
          enable_eviction: true,
        },
        counters: counters.map((m) => ({
          stat: stat(m),
          ...(m.value === undefined ? { value_fixed: { value: 1 } } : { value_format: m.value }),
        })),
        histograms: histograms.map((m) => ({ stat: stat(m), unit: m.unit, value_format: m.value })),
      }),
    },
  ];
}
