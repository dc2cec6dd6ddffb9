/** The HTTP filter of a waypoint's chains: requests find their scope by the address that the connection asks for. */
import type { WaypointTelemetry } from '../../ir/telemetry.ts';
import type { ConfigListenerFilter } from '../proto/index.ts';
import { fileAccessLog } from './access-log.ts';
import { requestMetrics } from './istio-metrics.ts';
import { connectionManager, managerFilter } from './listener.ts';
import { destinationScopeKey, serviceScopedRoutes } from './service-scope-key.ts';

/**
 * What a proxy before us said about the client is believed: behind an ingress, `X-Forwarded-Proto` stays `https`, and `remote.ip` of policies is the
 * address that the ingress saw. `key` is of the scopes of all connections where it is not the address that they ask for.
 */
export function waypointHttpFilter(telemetry: WaypointTelemetry, key = destinationScopeKey): ConfigListenerFilter {
  return managerFilter({
    ...connectionManager(serviceScopedRoutes, key),
    xff_num_trusted_hops: 1,
    access_log: [...requestMetrics(telemetry), ...telemetry.accessLogs.map(fileAccessLog)],
  });
}
