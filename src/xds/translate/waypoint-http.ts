/** The HTTP filter of a waypoint's chains: requests find their scope by the address that the connection asks for. */
import type { WaypointTelemetry } from '../../ir/telemetry.ts';
import type { ConfigListenerFilter } from '../proto/index.ts';
import { fileAccessLog } from './access-log.ts';
import { requestMetrics } from './istio-metrics.ts';
import { connectionManager, managerFilter } from './listener.ts';
import { destinationScopeKey, serviceScopeKey, serviceScopedRoutes } from './service-scope-key.ts';

/**
 * What a proxy before us said about the client is believed: behind an ingress, `X-Forwarded-Proto` stays `https`, and `remote.ip` of policies is the
 * address that the ingress saw. With a `place` its scope serves every connection, whatever address of a range it asks for.
 */
export function waypointHttpFilter(
  telemetry: WaypointTelemetry,
  place?: { readonly address: string; readonly port: number },
): ConfigListenerFilter {
  return managerFilter({
    ...connectionManager(serviceScopedRoutes, place ? serviceScopeKey(place.address, place.port) : destinationScopeKey),
    xff_num_trusted_hops: 1,
    access_log: [...requestMetrics(telemetry), ...telemetry.accessLogs.map(fileAccessLog)],
  });
}
