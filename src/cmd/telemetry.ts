/**
 * [WaypointListeners] + Telemetry of Istio -> the same, with what they tell of their traffic; and what the authors are told.
 *
 *   Telemetries ───┐
 *   Mesh ──────────┼─> what holds at a waypoint, and for some of its services ─> WaypointListeners ─> statuses
 *   Gateways ──────┤
 *   BoundServices ─┘
 */
import type { GatewayApi } from '../gateway/collections.ts';
import { type ObjectRef, refKey, serviceKey } from '../ir/object-ref.ts';
import { compareText } from '../ir/precedence.ts';
import type { StatusReport } from '../ir/report.ts';
import type { ServiceTelemetry, Told } from '../ir/telemetry.ts';
import type { WaypointListener } from '../ir/waypoint.ts';
import { type Mesh, defaultMesh } from '../istio/mesh.ts';
import { acceptedReport, describeProblems } from '../istio/policy.ts';
import { serviceOf } from '../istio/policy-target.ts';
import { meshKey } from '../istio/security.ts';
import { type ParsedTelemetry, type TelemetryPlace, isWide, parseTelemetry, telemetryOf } from '../istio/telemetry.ts';
import { type Collection, type Ctx, type Graph, anyOf, map } from '../krt/index.ts';
import type { MeshApi } from '../waypoint/collections.ts';
import type { Sources } from './sources.ts';

export interface Observed {
  readonly waypointListeners: Collection<WaypointListener>;
  readonly telemetryStatuses: Collection<StatusReport>;
}

/** Builds the collections. There are few Telemetries and few waypoints: each waypoint looks at all; of services at those alone that have one. */
export function observed(
  g: Graph,
  sources: Pick<Sources, 'telemetries'>,
  api: Pick<GatewayApi, 'gateways'> & Pick<Observed, 'waypointListeners'>,
  ambient: MeshApi | undefined,
  mesh: Collection<Mesh>,
): Observed {
  const parsed = map(g, sources.telemetries, { name: 'Telemetries' }, (ctx, object) =>
    parseTelemetry(object, ctx.fetchOne(mesh, meshKey) ?? defaultMesh),
  );
  const atWaypoint = (waypoint: string, namespace: string): string => `${waypoint}|${namespace}`;
  const byNamespace =
    ambient &&
    anyOf(
      g,
      { name: 'ServedNamespaces' },
      ambient.boundServices.index('namespace at a waypoint', (b) => [atWaypoint(b.waypoint, b.service.namespace)]),
    );
  const servesNamespace = (ctx: Ctx, waypoint: string, namespace: string): boolean =>
    byNamespace !== undefined && ctx.fetchOne(byNamespace, atWaypoint(waypoint, namespace)) !== undefined;
  const serves = (ctx: Ctx, waypoint: string, service: ObjectRef): boolean =>
    ambient !== undefined &&
    ctx.fetch(ambient.boundServices, { index: ambient.boundByObject, is: serviceKey(service) }).some((b) => b.waypoint === waypoint);

  const waypointListeners = map(g, api.waypointListeners, { name: 'ObservedWaypointListeners' }, (ctx, listener): WaypointListener => {
    const view = ctx.fetchOne(api.gateways, listener.scope);
    if (!view) return listener;
    const all = ctx.fetch(parsed);
    const meshConfig = ctx.fetchOne(mesh, meshKey) ?? defaultMesh;
    const holding = new Map<string, ObjectRef>();
    const toldAt = (place: Partial<TelemetryPlace>): Told => {
      const found = telemetryOf(all, { gateway: view.ref, gatewayClass: view.className, ...place }, meshConfig);
      for (const ref of found.holding) holding.set(refKey(ref), ref);
      return found.told;
    };
    const ofWaypoint = toldAt({});
    const { namespaces, services } = placesWithOwn(all);
    const ofNamespaces = namespaces
      .filter((n) => n !== view.ref.namespace && n !== meshConfig.rootNamespace && servesNamespace(ctx, listener.scope, n))
      .map((namespace): ServiceTelemetry => ({ namespace, ...toldAt({ serviceNamespace: namespace }) }));
    const ofServices = services
      .filter((service) => serves(ctx, listener.scope, service))
      .map((ref): ServiceTelemetry => {
        const { namespace } = ref;
        return { namespace, service: serviceKey(ref), ...toldAt({ serviceNamespace: namespace, ...serviceOf(ref) }) };
      });
    return {
      ...listener,
      telemetry: { ...ofWaypoint, services: [...ofNamespaces, ...ofServices] },
      origins: [...listener.origins, ...holding.values()],
    };
  });
  const byTelemetry = waypointListeners.index('telemetry', (l) => l.origins.filter((o) => o.kind === 'Telemetry').map(refKey));
  const key = (r: StatusReport): string => refKey(r.object);
  const telemetryStatuses = map(g, parsed, { name: 'TelemetryStatuses', key }, (ctx, telemetry): StatusReport => {
    const waypoints = ctx.fetch(waypointListeners, { index: byTelemetry, is: refKey(telemetry.ref) }).map((l) => l.scope);
    return statusOf(telemetry, waypoints.sort(compareText));
  });
  return { waypointListeners, telemetryStatuses };
}

/** The namespaces and services that have Telemetries of their own. */
function placesWithOwn(all: readonly ParsedTelemetry[]): {
  readonly namespaces: readonly string[];
  readonly services: readonly ObjectRef[];
} {
  const services = all.flatMap((t) => t.targets).filter(({ kind }) => kind === 'Service' || kind === 'ServiceEntry');
  return {
    namespaces: [...new Set(all.filter(isWide).map((t) => t.ref.namespace))].sort(compareText),
    services: [...new Map(services.map((s) => [refKey(s), s])).values()].sort((a, b) => compareText(refKey(a), refKey(b))),
  };
}

function statusOf(telemetry: ParsedTelemetry, waypoints: readonly string[]): StatusReport {
  const names = waypoints.map((scope) => `Gateway ${scope}`).join(', ');
  if (waypoints.length === 0) return acceptedReport(telemetry, undefined);
  if (telemetry.problems.length === 0)
    return acceptedReport(telemetry, { status: 'True', reason: 'Accepted', message: `holds for ${names}` });
  return acceptedReport(telemetry, {
    status: 'False',
    reason: 'PartiallyInvalid',
    message: `holds for ${names} without what cannot be done: ${describeProblems(telemetry.problems)}`,
  });
}
