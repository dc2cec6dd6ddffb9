/**
 * [WaypointListeners] + Telemetry of Istio -> the same, with what they tell of their traffic; and what the authors are told.
 *
 *   Telemetries ──┐
 *   Mesh ─────────┼─> what holds at a Gateway ─> WaypointListeners, statuses
 *   Gateways ─────┘
 */
import type { GatewayApi } from '../gateway/collections.ts';
import type { GatewayView } from '../gateway/gateway.ts';
import { type ObjectRef, describeRef, refKey } from '../ir/object-ref.ts';
import type { StatusReport } from '../ir/report.ts';
import type { WaypointListener } from '../ir/waypoint.ts';
import { type Mesh, defaultMesh } from '../istio/mesh.ts';
import { acceptedReport, describeProblems } from '../istio/policy.ts';
import { meshKey } from '../istio/security.ts';
import { type ParsedTelemetry, parseTelemetry, telemetryOf } from '../istio/telemetry.ts';
import { type Collection, type Graph, map } from '../krt/index.ts';
import type { Sources } from './sources.ts';

export interface Observed {
  readonly waypointListeners: Collection<WaypointListener>;
  readonly telemetryStatuses: Collection<StatusReport>;
}

/** Builds the collections. There are few Telemetries and few waypoints: each waypoint looks at all. */
export function observed(
  g: Graph,
  sources: Pick<Sources, 'telemetries'>,
  api: Pick<GatewayApi, 'gateways'> & Pick<Observed, 'waypointListeners'>,
  mesh: Collection<Mesh>,
): Observed {
  const parsed = map(g, sources.telemetries, { name: 'Telemetries' }, (ctx, object) =>
    parseTelemetry(object, ctx.fetchOne(mesh, meshKey) ?? defaultMesh),
  );
  const held = map(g, api.gateways, { name: 'WaypointTelemetries' }, (ctx, view) =>
    view.waypoint
      ? { key: view.key, gateway: view.ref, ...telemetryOf(ctx.fetch(parsed), placeOf(view), ctx.fetchOne(mesh, meshKey) ?? defaultMesh) }
      : undefined,
  );
  const byTelemetry = held.index('telemetry', (h) => h.holding.map(refKey));
  const waypointListeners = map(g, api.waypointListeners, { name: 'ObservedWaypointListeners' }, (ctx, listener): WaypointListener => {
    const found = ctx.fetchOne(held, listener.scope);
    return found ? { ...listener, telemetry: found.telemetry, origins: [...listener.origins, ...found.holding] } : listener;
  });
  const key = (r: StatusReport): string => refKey(r.object);
  const telemetryStatuses = map(g, parsed, { name: 'TelemetryStatuses', key }, (ctx, telemetry): StatusReport => {
    const waypoints = ctx.fetch(held, { index: byTelemetry, is: refKey(telemetry.ref) }).map((h) => h.gateway);
    return statusOf(telemetry, waypoints);
  });
  return { waypointListeners, telemetryStatuses };
}

function placeOf({ ref, className }: GatewayView) {
  return { gateway: ref, gatewayClass: className };
}

function statusOf(telemetry: ParsedTelemetry, waypoints: readonly ObjectRef[]): StatusReport {
  const names = waypoints.map((w) => describeRef(w)).join(', ');
  if (waypoints.length === 0) return acceptedReport(telemetry, undefined);
  if (telemetry.problems.length === 0)
    return acceptedReport(telemetry, { status: 'True', reason: 'Accepted', message: `holds for ${names}` });
  return acceptedReport(telemetry, {
    status: 'False',
    reason: 'PartiallyInvalid',
    message: `holds for ${names} without what cannot be done: ${describeProblems(telemetry.problems)}`,
  });
}
