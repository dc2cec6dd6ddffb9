/** Every metric in one table; docs/metrics.md is written from it. Names are kgateway's where it has the metric. */
import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client';
import type { CollectionStats, Graph } from '../krt/index.ts';
import type { Reflector } from '../kube/reflector.ts';
import { resourceName } from '../kube/resources.ts';
import type { StatusWriterStats } from '../kube/status-writer.ts';
import type { XdsEvents } from '../xds/server.ts';

const seconds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];

/** Name -> kind, labels, meaning. Durations are in seconds. */
export const metricsTable = {
  kgateway_watch_events_total: { type: 'counter', labels: ['resource'], help: 'Events of watches, initial objects included.' },
  kgateway_watch_relists_total: {
    type: 'counter',
    labels: ['resource'],
    help: 'Lists; more than one means that a watch could not be resumed.',
  },
  kgateway_watch_errors_total: { type: 'counter', labels: ['resource'], help: 'Failed lists and watches.' },
  kgateway_watch_last_event_timestamp_seconds: {
    type: 'gauge',
    labels: ['resource'],
    help: 'When the last event, bookmark or list arrived.',
  },
  kgateway_collection_objects: { type: 'gauge', labels: ['collection'], help: 'Objects in a collection.' },
  kgateway_collection_transforms_total: { type: 'counter', labels: ['collection'], help: 'Runs of the transform of a collection.' },
  kgateway_collection_transform_errors_total: {
    type: 'counter',
    labels: ['collection'],
    help: 'Transforms that threw: bugs. The last good output stays.',
  },
  kgateway_flush_duration_seconds: { type: 'histogram', labels: [], help: 'From a batch of changes to the resources that come of it.' },
  kgateway_xds_pushes_total: { type: 'counter', labels: ['type_url'], help: 'Responses sent to proxies.' },
  kgateway_xds_push_resources_total: { type: 'counter', labels: ['type_url'], help: 'Resources in responses, removals included.' },
  kgateway_xds_push_bytes_total: { type: 'counter', labels: ['type_url'], help: 'Bytes of responses.' },
  kgateway_xds_ack_duration_seconds: { type: 'histogram', labels: ['type_url'], help: 'From a response to its acknowledgement.' },
  kgateway_envoy_xds_rejects_total: {
    type: 'counter',
    labels: ['gateway_namespace', 'gateway_name', 'type_url'],
    help: 'Responses that a proxy refused.',
  },
  kgateway_envoy_xds_rejects_active: {
    type: 'gauge',
    labels: ['gateway_namespace', 'gateway_name', 'type_url'],
    help: 'Resources that a connected proxy refuses now.',
  },
  kgateway_xds_connected_proxies: { type: 'gauge', labels: ['gateway_namespace', 'gateway_name'], help: 'Proxies with an open stream.' },
  kgateway_xds_auth_rq_success_total: { type: 'counter', labels: [], help: 'Streams that were let in.' },
  kgateway_xds_auth_rq_failure_total: { type: 'counter', labels: ['code'], help: 'Streams that were turned away.' },
  kgateway_status_syncer_status_syncs_total: {
    type: 'counter',
    labels: ['result'],
    help: 'Statuses by result: written, skipped (already right), conflict, error.',
  },
  kgateway_status_syncer_pending: { type: 'gauge', labels: [], help: 'Statuses that wait to be written.' },
  kgateway_ingress_problems: { type: 'gauge', labels: [], help: 'Ingresses of which a part does not work; the log says what.' },
  kgateway_leader: { type: 'gauge', labels: [], help: '1 while this replica writes statuses and proxies.' },
} as const satisfies Record<string, { type: 'counter' | 'gauge' | 'histogram'; labels: readonly string[]; help: string }>;

export type MetricName = keyof typeof metricsTable;

export interface Metrics {
  readonly registry: Registry;
  counter(name: MetricName): Counter;
  gauge(name: MetricName): Gauge;
  histogram(name: MetricName): Histogram;
  /** Hooks for the xDS server. */
  readonly xds: Partial<XdsEvents>;
}

/** Makes the metrics of the table. */
export function createMetrics(): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const made = new Map<string, Counter | Gauge | Histogram>();
  for (const [name, { type, labels, help }] of Object.entries(metricsTable)) {
    const options = { name, help, labelNames: [...labels], registers: [registry] };
    made.set(
      name,
      type === 'counter' ? new Counter(options) : type === 'gauge' ? new Gauge(options) : new Histogram({ ...options, buckets: seconds }),
    );
  }
  const counter = (name: MetricName): Counter => made.get(name) as Counter;
  const gauge = (name: MetricName): Gauge => made.get(name) as Gauge;
  const histogram = (name: MetricName): Histogram => made.get(name) as Histogram;
  return { registry, counter, gauge, histogram, xds: xdsHooks({ counter, gauge, histogram }) };
}

function gatewayLabels(scope: string): { gateway_namespace: string; gateway_name: string } {
  const [gateway_namespace = '', gateway_name = ''] = scope.split('/');
  return { gateway_namespace, gateway_name };
}

function xdsHooks({ counter, gauge, histogram }: Pick<Metrics, 'counter' | 'gauge' | 'histogram'>): Partial<XdsEvents> {
  return {
    connected: ({ scope }) => {
      counter('kgateway_xds_auth_rq_success_total').inc();
      gauge('kgateway_xds_connected_proxies').inc(gatewayLabels(scope));
    },
    disconnected: ({ scope }) => gauge('kgateway_xds_connected_proxies').dec(gatewayLabels(scope)),
    sent: ({ type, resources, removed, bytes }) => {
      counter('kgateway_xds_pushes_total').inc({ type_url: type });
      counter('kgateway_xds_push_resources_total').inc({ type_url: type }, resources + removed);
      counter('kgateway_xds_push_bytes_total').inc({ type_url: type }, bytes);
    },
    acknowledged: ({ type, durationMs }) => histogram('kgateway_xds_ack_duration_seconds').observe({ type_url: type }, durationMs / 1000),
    refused: ({ type, scope }) => counter('kgateway_envoy_xds_rejects_total').inc({ ...gatewayLabels(scope), type_url: type }),
    denied: ({ code }) => counter('kgateway_xds_auth_rq_failure_total').inc({ code }),
  };
}

/** What is read when Prometheus asks, rather than counted as it happens. */
export interface Observed {
  readonly graph: Graph;
  readonly reflectors: readonly Reflector[];
  readonly rejections: () => readonly { readonly scope: string; readonly type: string }[];
  /** How many Ingresses do not work as a whole. */
  readonly ingressProblems: () => number;
  readonly statuses: () => StatusWriterStats | undefined;
  readonly leading: () => boolean;
}

/** Sets gauges and running totals to what they are now. */
export function observe(m: Metrics, o: Observed): void {
  const total = (name: MetricName, labels: Record<string, string>, value: number): void => {
    const c = m.counter(name);
    c.remove(labels);
    c.inc(labels, value);
  };
  for (const s of o.graph.stats()) collectionMetrics(m, s, total);
  // Pods of several InferencePools have a watch each.
  for (const [resource, reflectors] of Map.groupBy(o.reflectors, (r) => resourceName(r.resource))) {
    const sum = (count: (r: Reflector) => number): number => reflectors.reduce((all, r) => all + count(r), 0);
    total(
      'kgateway_watch_events_total',
      { resource },
      sum((r) => r.events),
    );
    total(
      'kgateway_watch_relists_total',
      { resource },
      sum((r) => r.relists),
    );
    total(
      'kgateway_watch_errors_total',
      { resource },
      sum((r) => r.errors),
    );
    m.gauge('kgateway_watch_last_event_timestamp_seconds').set({ resource }, Math.max(...reflectors.map((r) => r.lastEventAt)) / 1000);
  }
  const active = m.gauge('kgateway_envoy_xds_rejects_active');
  active.reset();
  for (const { scope, type } of o.rejections()) active.inc({ ...gatewayLabels(scope), type_url: type });
  const statuses = o.statuses();
  if (statuses) {
    const { writes: written, skipped, conflicts: conflict, errors: error, pending } = statuses;
    for (const [result, n] of Object.entries({ written, skipped, conflict, error }))
      total('kgateway_status_syncer_status_syncs_total', { result }, n);
    m.gauge('kgateway_status_syncer_pending').set(pending);
  }
  m.gauge('kgateway_ingress_problems').set(o.ingressProblems());
  m.gauge('kgateway_leader').set(o.leading() ? 1 : 0);
}

function collectionMetrics(
  m: Metrics,
  s: CollectionStats,
  total: (name: MetricName, labels: Record<string, string>, value: number) => void,
): void {
  m.gauge('kgateway_collection_objects').set({ collection: s.name }, s.size);
  total('kgateway_collection_transforms_total', { collection: s.name }, s.transforms);
  total('kgateway_collection_transform_errors_total', { collection: s.name }, s.errors);
}

/** docs/metrics.md. */
export function metricsDocument(): string {
  const rows = Object.entries(metricsTable).map(
    ([name, { type, labels, help }]) => `| \`${name}\` | ${type} | ${labels.map((l) => `\`${l}\``).join(' ')} | ${help} |`,
  );
  return [
    '# Metrics',
    '',
    'Of the controller, at `:9092/metrics`, besides those of Node.js. Proxies serve those of Envoy at `:9091/metrics`, waypoints also [those of Istio](telemetry.md).',
    '',
    '| metric | type | labels | meaning |',
    '| --- | --- | --- | --- |',
    ...rows,
    '',
  ].join('\n');
}
