/**
 * DestinationRules at waypoints.
 *
 *   DestinationRules ─> TrafficRules, by host ──────┬─> trafficOf(waypoint, cluster) ─> clusters of that waypoint
 *   Secrets that they name (rule-credentials.ts) ───┤
 *   BoundServices ──────────────────────────────────┴─> statuses: what of a rule has no effect
 */
import type { GatewayApi } from '../gateway/collections.ts';
import type { KeyPair } from '../ir/listener.ts';
import type { Cluster } from '../ir/backend.ts';
import type { TlsCertificate } from '../ir/listener.ts';
import { partsOfCluster } from '../ir/names.ts';
import { refKey } from '../ir/object-ref.ts';
import { compareText } from '../ir/precedence.ts';
import type { StatusReport } from '../ir/report.ts';
import type { ClusterTraffic } from '../ir/traffic.ts';
import { type TrafficRule, conflictOf, covers, parseDestinationRule, ruleFor, sees, trafficOfPort } from '../istio/destinationrule.ts';
import { ruleStatus } from '../istio/destinationrule-status.ts';
import { type Mesh, defaultMesh } from '../istio/mesh.ts';
import { credentialProblems } from '../istio/traffic-tls.ts';
import { type Collection, type Ctx, type Graph, join, map } from '../krt/index.ts';
import type { MeshApi } from '../waypoint/collections.ts';
import { ruleCredentials } from './rule-credentials.ts';
import type { Sources } from './sources.ts';

export interface TrafficRules {
  /** What holds for a cluster at a Gateway; undefined: nothing, as for every Gateway that is no waypoint. */
  readonly trafficOf: (ctx: Ctx, scope: string, cluster: Cluster) => ClusterTraffic | undefined;
  readonly trafficStatuses: Collection<StatusReport>;
  /** Those of Gateways, and those that rules name. */
  readonly certificates: Collection<TlsCertificate>;
  readonly keyPairs: Collection<KeyPair>;
}

/** Builds the collections. */
export function trafficRules(
  g: Graph,
  sources: Pick<Sources, 'destinationRules' | 'secrets' | 'referenceGrants'>,
  { gateways, ...api }: Pick<GatewayApi, 'gateways' | 'certificates' | 'keyPairs'>,
  mesh: MeshApi | undefined,
  meshConfig: (ctx: Ctx) => Mesh | undefined,
): TrafficRules {
  const rules = map(g, sources.destinationRules, { name: 'TrafficRules' }, (_ctx, rule) => parseDestinationRule(rule));
  // A rule for one host concerns the clusters of that host alone.
  const byHost = rules.index('host', (r) => [keyOfHost(r)]);
  const waypoints = map(g, gateways, { name: 'WaypointNamespaces' }, (_ctx, { key, ref, waypoint }) =>
    waypoint ? { key, namespace: ref.namespace } : undefined,
  );
  const credentials = ruleCredentials(g, sources, rules, gateways, meshConfig);
  const trafficOf: TrafficRules['trafficOf'] = (ctx, scope, { name, origin, discovery, subjectAltNames = [] }) => {
    const waypoint = ctx.fetchOne(waypoints, scope);
    const parts = partsOfCluster(name);
    if (!waypoint || !parts) return undefined;
    const { port, host } = parts;
    const { rootNamespace: root, ruleVisibility: visibleByDefault } = meshConfig(ctx) ?? defaultMesh;
    const place = { client: waypoint.namespace, service: origin.namespace, root, host, visibleByDefault };
    const rule = ruleFor(place, (namespace) => {
      const exact = ctx.fetch(rules, { index: byHost, is: hostKey(namespace, host) });
      const wild = ctx.fetch(rules, { index: byHost, is: hostKey(namespace, anyHost) });
      return wild.length === 0 ? exact : [...exact, ...wild];
    });
    if (!rule) return undefined;
    const byRequest = discovery?.from === 'host' || host.startsWith('*');
    return trafficOfPort(rule, port, {
      ...(!byRequest && { host }),
      subjectAltNames,
      credential: (secret) => credentials.credentialOf(ctx, rule, waypoint.namespace, secret),
    });
  };
  const statuses = map(g, rules, { name: 'TrafficStatuses', key: (r: StatusReport) => refKey(r.object) }, (ctx, rule) => {
    const others = ctx.fetch(rules, { index: byHost, is: keyOfHost(rule) });
    const visibility = { visibleByDefault: (meshConfig(ctx) ?? defaultMesh).ruleVisibility };
    const conflict = conflictOf(rule, others, visibility);
    if (!mesh || (!conflict && rule.problems.length + rule.credentials.length === 0)) return ruleStatus(rule, undefined, []);
    const served = waypointsOf(ctx, mesh, rule).filter((namespace) => sees(namespace, rule, visibility));
    const atWaypoints = served.flatMap((namespace) =>
      rule.credentials.flatMap(({ field, name, tls }) =>
        credentialProblems(tls, credentials.credentialOf(ctx, rule, namespace, name)).map((message) => ({ field: `${field}:`, message })),
      ),
    );
    return served.length > 0 ? ruleStatus(rule, conflict, [...rule.problems, ...atWaypoints]) : ruleStatus(rule, undefined, []);
  });
  return {
    trafficOf,
    trafficStatuses: statuses,
    certificates: join(g, { name: 'AllCertificates' }, [api.certificates, credentials.certificates]),
    keyPairs: join(g, { name: 'AllKeyPairs' }, [api.keyPairs, credentials.keyPairs]),
  };
}

const anyHost = '*';

/** Rules with wildcards are few: they share a key. */
function keyOfHost({ ref, host }: TrafficRule): string {
  return hostKey(ref.namespace, host.startsWith('*') ? anyHost : host);
}

function hostKey(namespace: string, host: string): string {
  return `${namespace}|${host}`;
}

/** Namespaces of waypoints that serve what the rule is for. */
function waypointsOf(ctx: Ctx, { boundServices, boundByHost }: MeshApi, { host }: TrafficRule): readonly string[] {
  const found = host.startsWith('*')
    ? ctx.fetch(boundServices, { where: (b) => covers(host, b.service.host) })
    : ctx.fetch(boundServices, { index: boundByHost, is: host });
  return [...new Set(found.map((b) => b.waypoint.split('/')[0] ?? ''))].toSorted(compareText);
}
