/**
 * DestinationRules at waypoints.
 *
 *   DestinationRules ─> TrafficRules, by host ──────┬─> trafficOf(waypoint, cluster) ─> clusters of that waypoint
 *   BoundServices ──────────────────────────────────┴─> statuses: what of a rule has no effect
 */
import type { GatewayApi } from '../gateway/collections.ts';
import type { Cluster } from '../ir/backend.ts';
import type { StatusReport } from '../ir/report.ts';
import { partsOfCluster } from '../ir/names.ts';
import { refKey } from '../ir/object-ref.ts';
import type { ClusterTraffic } from '../ir/traffic.ts';
import { acceptedCondition } from '../istio/policy.ts';
import { type TrafficRule, covers, parseDestinationRule, ruleFor, trafficOfPort } from '../istio/destinationrule.ts';
import { type Mesh, defaultMesh } from '../istio/mesh.ts';
import { type Collection, type Ctx, type Graph, map } from '../krt/index.ts';
import type { MeshApi } from '../waypoint/collections.ts';
import type { Sources } from './sources.ts';

export interface TrafficRules {
  /** What holds for a cluster at a Gateway; undefined: nothing, as for every Gateway that is no waypoint. */
  readonly trafficOf: (ctx: Ctx, scope: string, cluster: Cluster) => ClusterTraffic | undefined;
  readonly trafficStatuses: Collection<StatusReport>;
}

/** Builds the collections. */
export function trafficRules(
  g: Graph,
  sources: Pick<Sources, 'destinationRules'>,
  { gateways }: Pick<GatewayApi, 'gateways'>,
  mesh: MeshApi | undefined,
  meshConfig: (ctx: Ctx) => Mesh | undefined,
): TrafficRules {
  const rules = map(g, sources.destinationRules, { name: 'TrafficRules' }, (_ctx, rule) => parseDestinationRule(rule));
  // A rule for one host concerns the clusters of that host alone; those with wildcards are few.
  const byHost = rules.index('host', (r) => [hostKey(r.ref.namespace, r.host.startsWith('*') ? anyHost : r.host)]);
  const waypoints = map(g, gateways, { name: 'WaypointNamespaces' }, (_ctx, { key, ref, waypoint }) =>
    waypoint ? { key, namespace: ref.namespace } : undefined,
  );
  const trafficOf: TrafficRules['trafficOf'] = (ctx, scope, { name, origin, discovery }) => {
    const waypoint = ctx.fetchOne(waypoints, scope);
    const parts = partsOfCluster(name);
    if (!waypoint || !parts) return undefined;
    const { port, host } = parts;
    const root = (meshConfig(ctx) ?? defaultMesh).rootNamespace;
    const rule = ruleFor({ client: waypoint.namespace, service: origin.namespace, root, host }, (namespace) =>
      [host, anyHost].flatMap((h) => ctx.fetch(rules, { index: byHost, is: hostKey(namespace, h) })),
    );
    const named = discovery?.from === 'host' || host.startsWith('*') ? undefined : host;
    return rule && trafficOfPort(rule, port, named);
  };
  const statuses = map(g, rules, { name: 'TrafficStatuses', key: (r: StatusReport) => refKey(r.object) }, (ctx, rule) => {
    const served = mesh !== undefined && rule.problems.length > 0 && isServed(ctx, mesh, rule);
    return report(rule, served);
  });
  return { trafficOf, trafficStatuses: statuses };
}

const anyHost = '*';

function hostKey(namespace: string, host: string): string {
  return `${namespace}|${host}`;
}

function isServed(ctx: Ctx, { boundServices }: MeshApi, rule: TrafficRule): boolean {
  return ctx.fetch(boundServices, { where: (b) => covers(rule.host, b.service.host) }).length > 0;
}

/** Of a rule without problems, or that concerns nothing of ours, nothing is said. */
function report({ ref, generation, problems }: TrafficRule, served: boolean): StatusReport {
  const message = problems.map((p) => `${p.field} ${p.message}`).join('; ');
  return {
    form: 'conditions',
    object: ref,
    generation,
    owned: [acceptedCondition],
    conditions: served ? [{ type: acceptedCondition, status: 'False', reason: 'UnsupportedValue', message }] : [],
  };
}
