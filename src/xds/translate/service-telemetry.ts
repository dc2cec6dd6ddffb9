/**
 * [WaypointTelemetry] -> access loggers, each for its part of the traffic: of one service, of the other services of a namespace, of all others.
 *
 * Which service it is stands in metadata (service-facts.ts), so that chains and scopes do not depend on what is told of them.
 */
import { type ServiceTelemetry, type Told, type WaypointTelemetry, serviceMetadata } from '../../ir/telemetry.ts';
import type { AccessLog, AccessLogFilter } from '../proto/index.ts';
import { celFilter } from './access-log.ts';

/** Of a request the service that it asked for, of a connection the one that it was sent to. */
const servicesOf = { requests: 'xds.virtual_host_metadata', connections: 'xds.cluster_metadata' } as const;

/** The loggers of what is told. Without services of their own they are those of the waypoint, as they are. */
export function loggersOf(
  { services, ...waypoint }: WaypointTelemetry,
  traffic: keyof typeof servicesOf,
  loggers: (told: Told) => readonly AccessLog[],
): readonly AccessLog[] {
  if (services.length === 0) return loggers(waypoint);
  const at = servicesOf[traffic];
  const facts = `${at}.filter_metadata['${serviceMetadata}']`;
  // What has no such metadata is for no service: an error would be no answer to `!`.
  const known = `has(${at}) && '${serviceMetadata}' in ${at}.filter_metadata`;
  const oneOf = (key: 'object' | 'namespace', values: readonly string[]): string => `${facts}['${key}'] in ${JSON.stringify(values)}`;
  const named = services.flatMap((s) => s.service ?? []);
  const namespaces = services.flatMap((s) => (s.service === undefined ? s.namespace : []));
  const expressionOf = ({ service, namespace }: ServiceTelemetry): string =>
    service === undefined ? `${oneOf('namespace', [namespace])} && !(${oneOf('object', named)})` : oneOf('object', [service]);
  return [
    ...only(loggers(waypoint), `!(${known} && (${oneOf('namespace', namespaces)} || ${oneOf('object', named)}))`),
    ...services.flatMap((s) => only(loggers(s), `${known} && ${expressionOf(s)}`)),
  ];
}

function only(loggers: readonly AccessLog[], expression: string): readonly AccessLog[] {
  const filter = celFilter(expression);
  return loggers.map((l): AccessLog => ({ ...l, filter: l.filter ? both(filter, l.filter) : filter }));
}

function both(...filters: readonly AccessLogFilter[]): AccessLogFilter {
  return { and_filter: { filters } };
}
