/**
 * What a waypoint tells about its traffic.
 *
 *   [Telemetry]* of a waypoint + MeshConfig -> WaypointTelemetry: metrics, access logs -> its listener
 */

/** Metrics of Istio, by the names that Telemetry has for them. Those of TCP are told at the end of a connection. */
export const istioMetrics = {
  REQUEST_COUNT: 'istio_requests_total',
  REQUEST_DURATION: 'istio_request_duration_milliseconds',
  REQUEST_SIZE: 'istio_request_bytes',
  RESPONSE_SIZE: 'istio_response_bytes',
  TCP_OPENED_CONNECTIONS: 'istio_tcp_connections_opened_total',
  TCP_CLOSED_CONNECTIONS: 'istio_tcp_connections_closed_total',
  TCP_SENT_BYTES: 'istio_tcp_sent_bytes_total',
  TCP_RECEIVED_BYTES: 'istio_tcp_received_bytes_total',
} as const;

export type IstioMetric = keyof typeof istioMetrics;

/** One access log. */
export interface AccessLog {
  /** A file of the proxy: `/dev/stdout`. */
  readonly path: string;
  /** Envoy's format: a line, or the fields of a JSON object. */
  readonly format: { readonly text: string } | { readonly json: Readonly<Record<string, string>> };
  /** CEL: only what it is true for is written. */
  readonly filter?: string;
}

/** What is told of traffic. */
export interface Told {
  /** Metrics that are left out. */
  readonly disabled: readonly IstioMetric[];
  /** By metric and label: the CEL expression that it takes its value from; null: the label is left out. */
  readonly labels: Readonly<Partial<Record<IstioMetric, Readonly<Record<string, string | null>>>>>;
  readonly accessLogs: readonly AccessLog[];
}

/** What holds at one waypoint. */
export interface WaypointTelemetry extends Told {
  /** Of some of its services it tells otherwise. */
  readonly services: readonly ServiceTelemetry[];
}

/** In place of what holds at the waypoint. */
export interface ServiceTelemetry extends Told {
  readonly namespace: string;
  /** The `serviceKey` of one; absent: all of the namespace that have nothing of their own. */
  readonly service?: string;
}

/** Nothing written; all metrics but those of sizes: they cost a request half as much as the rest (docs/decisions/0008-istio-metrics.md). */
export const defaultTelemetry: WaypointTelemetry = {
  disabled: ['REQUEST_SIZE', 'RESPONSE_SIZE'],
  labels: {},
  accessLogs: [],
  services: [],
};

/** Where the facts about a service stand in the metadata of clusters, virtual hosts and endpoints. */
export const serviceMetadata = 'io.kgateway';
