/** The HTTP filter of a waypoint's chains: requests find their scope by the address that the connection asks for. */
import type { WaypointTelemetry } from '../../ir/telemetry.ts';
import { type ConfigListenerFilter, any } from '../proto/index.ts';
import { fileAccessLog } from './access-log.ts';
import { requestMetrics } from './istio-metrics.ts';
import { connectionManager } from './listener.ts';
import { placeScopeKeyMutation, serviceScopeKeyMutation, serviceScopedRoutes } from './service-scope-key.ts';

/**
 * What a proxy before us said about the client is believed: behind an ingress, `X-Forwarded-Proto` stays `https`, and `remote.ip` of policies is the
 * address that the ingress saw. With a `place` its scope serves every connection, whatever address of a range it asks for.
 */
export function waypointHttpFilter(
  telemetry: WaypointTelemetry,
  place?: { readonly address: string; readonly port: number },
): ConfigListenerFilter {
  const key = place ? placeScopeKeyMutation(place.address, place.port) : serviceScopeKeyMutation;
  return {
    name: 'envoy.filters.network.http_connection_manager',
    typed_config: any('envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager', {
      ...connectionManager(serviceScopedRoutes, key),
      xff_num_trusted_hops: 1,
      access_log: [...requestMetrics(telemetry), ...telemetry.accessLogs.map(fileAccessLog)],
    }),
  };
}
