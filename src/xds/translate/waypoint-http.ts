/** The HTTP filter of a waypoint's chains: requests find their scope by the address that the connection asks for. */
import { type WaypointTelemetry, defaultTelemetry } from '../../ir/telemetry.ts';
import type { TcpService, WaypointListener } from '../../ir/waypoint.ts';
import type { ConfigListenerFilter, HttpFilter } from '../proto/index.ts';
import { fileAccessLog } from './access-log.ts';
import { clientCertHeader } from './client-cert-header.ts';
import { requestMetrics } from './istio-metrics.ts';
import { connectionManager, managerFilter } from './listener.ts';
import { destinationScopeKey, serviceScopedRoutes } from './service-scope-key.ts';
import { loggersOf } from './service-telemetry.ts';

/** What the HTTP filters of all chains of a waypoint have in common. */
export interface WaypointHttp {
  readonly telemetry: WaypointTelemetry;
  /** Before all other filters. */
  readonly first: readonly HttpFilter[];
}

/** The same, of a listener. */
export function waypointHttp(listener: WaypointListener): WaypointHttp {
  return { telemetry: listener.telemetry ?? defaultTelemetry, first: clientCertHeader(listener) };
}

/**
 * What a proxy before us said about the client is believed: behind an ingress, `X-Forwarded-Proto` stays `https`, and `remote.ip` of policies is the
 * address that the ingress saw. `key` is of the scopes of all connections where it is not the address that they ask for.
 */
export function waypointHttpFilter(
  { telemetry, first }: WaypointHttp,
  key = destinationScopeKey,
  { onward }: Pick<TcpService, 'onward'> = {},
): ConfigListenerFilter {
  return managerFilter({
    ...connectionManager(serviceScopedRoutes, key, first),
    xff_num_trusted_hops: 1,
    // A port in the authority would be the one that is dialled.
    ...(onward !== undefined && { strip_any_host_port: true }),
    access_log: loggersOf(telemetry, 'requests', (told) => [...requestMetrics(told), ...told.accessLogs.map(fileAccessLog)]),
  });
}
