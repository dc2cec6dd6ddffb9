/**
 * The statuses of all objects that are ours to report on, as collections.
 *
 *   RouteParents ─> AttachedRoutes, counted by listener ─┐
 *   Gateways, ListenerSets ──────────────────────────────┴─> their statuses
 *   RouteParents + RouteRules + ServedRoutes ──────────────> statuses of routes
 *   Policies + what became of them in ServedRoutes ────────> statuses of policies
 */
import { type ObjectRef, refKey } from '../ir/object-ref.ts';
import type { RoutePolicies } from '../ir/policy.ts';
import type { StatusReport } from '../ir/report.ts';
import { waypointChain } from '../ir/names.ts';
import { type Collection, type Ctx, type Graph, type Index, count, flatMap, join, map } from '../krt/index.ts';
import type { Policy } from '../policy/plugin.ts';
import { type PolicyAttachment, missingTargets, policyStatus } from '../policy/status.ts';
import { type GatewayView, isOurs } from './gateway.ts';
import { kgatewayStatuses } from './kgateway-kinds.ts';
import { gatewayOfSet, listenerSetNamed, listenerSetStatus } from './listenerset.ts';
import { type RouteKindName, type RouteObject, routeKey, routeRef } from './route.ts';
import { routeSources } from './routes.ts';
import {
  type GatewayFacts,
  type RejectedObject,
  countedKey,
  gatewayClassStatus,
  gatewayStatus,
  listenerKey,
  routeStatus,
} from './status.ts';
import type { GatewayApi, GatewayApiInputs } from './collections.ts';

interface PolicyOutcome {
  readonly route: string;
  readonly outcome: PolicyAttachment;
}

function outcomeKey({ route, outcome }: PolicyOutcome): string {
  return `${route}|${refKey(outcome.policy)}|${refKey(outcome.ancestor)}|${outcome.state}`;
}

/** What statuses need besides the translation. */
export interface StatusInputs {
  /** Addresses of the proxies, by key of the Gateway. */
  readonly addresses: Collection<{ readonly gateway: string; readonly addresses: readonly string[] }>;
  readonly rejected: Index<RejectedObject>;
  readonly deployProblems: Collection<{ readonly gateway: string; readonly message: string }>;
}

/** The statuses of all objects that are ours to report on. Written only by the leader, computed by every replica. */
export function gatewayApiStatuses(g: Graph, inputs: GatewayApiInputs, api: GatewayApi, more: StatusInputs): Collection<StatusReport> {
  const key = (r: StatusReport): string => refKey(r.object);
  const classes = map(g, inputs.classes, { name: 'GatewayClassStatuses', key }, (_ctx, c) =>
    isOurs(c) ? gatewayClassStatus(c) : undefined,
  );

  const attached = flatMap(
    g,
    api.parents,
    { name: 'AttachedRoutes', key: (a: { listener: string; route: string }) => `${a.listener}|${a.route}` },
    (_ctx, route) => {
      const keys = route.parents.filter((p) => !p.delegation).flatMap((p) => p.listeners.map((l) => countedKey(p.gateway, l)));
      return [...new Set(keys)].map((listener) => ({ listener, route: route.key }));
    },
  );
  const counts = count(
    g,
    { name: 'AttachedRouteCounts' },
    attached.index('listener', (a) => [a.listener]),
  );

  const rejectedOf = (ctx: Ctx, ref: ObjectRef) =>
    messagesOf(ctx.fetch(more.rejected.collection, { index: more.rejected, is: refKey(ref) }));
  const factsOf = (ctx: Ctx, view: GatewayView): GatewayFacts => ({
    attachedRoutes: (listener) =>
      ctx.fetchOne(counts, listenerKey(view.key, view.waypoint && isServed(view, listener) ? waypointChain : listener))?.count ?? 0,
    addresses: ctx.fetchOne(more.addresses, view.key)?.addresses ?? [],
    rejected: (ref) => rejectedOf(ctx, ref),
    deployProblem: ctx.fetchOne(more.deployProblems, view.key)?.message,
  });
  const gateways = map(g, api.gateways, { name: 'GatewayStatuses', key }, (ctx, view) => gatewayStatus(view, factsOf(ctx, view)));
  const listenerSets = map(g, inputs.listenerSets, { name: 'ListenerSetStatuses', key }, (ctx, set): StatusReport | undefined => {
    const view = ctx.fetchOne(api.gateways, gatewayOfSet(set.set));
    return view && listenerSetStatus(view, set, factsOf(ctx, view));
  });
  const outcomes = policyOutcomes(g, api);
  const routes = routeSources(inputs).map(({ kind, routes: source }) =>
    map(g, source, { name: `${kind}Statuses`, key }, (ctx, route): StatusReport => {
      const parents = ctx.fetchOne(api.parents, routeKey(kind, route));
      // Entries of ours from an earlier parent are taken back.
      if (!parents) return withoutParents(kind, route);
      return routeStatus(parents, {
        rules: ctx.fetchOne(api.rules, parents.key),
        served: ctx.fetchOne(api.served, parents.key),
        rejected: (ref) => rejectedOf(ctx, ref),
      });
    }),
  );
  return join(g, { name: 'Statuses' }, [
    classes,
    gateways,
    listenerSets,
    ...routes,
    kgatewayStatuses(g, api.kgateway, { rejected: rejectedOf, outcomes }),
    policyStatuses(g, inputs, api, outcomes),
    api.backendTlsReports,
    api.poolReports,
  ]);
}

function isServed(view: GatewayView, listener: string): boolean {
  return view.listeners.some((l) => l.key === listener && l.valid);
}

/** Several proxies refuse the same thing with the same words. */
function messagesOf(rejected: readonly RejectedObject[]): readonly string[] {
  return [...new Set(rejected.map((r) => r.message))];
}

function withoutParents(kind: RouteKindName, route: RouteObject): StatusReport {
  return { form: 'parents', object: routeRef(kind, route), generation: route.metadata.generation ?? 0, entries: [] };
}

/** Finds what became of a policy where routes have it. */
type OutcomesOf = (ctx: Ctx, policy: ObjectRef) => readonly PolicyAttachment[];

function policyOutcomes(g: Graph, api: GatewayApi): OutcomesOf {
  const outcomes = flatMap(g, api.served, { name: 'PolicyOutcomes', key: outcomeKey }, (_ctx, s) =>
    s.attachments.map((outcome) => ({ route: s.key, outcome })),
  );
  const byPolicy = outcomes.index('policy', (o) => [refKey(o.outcome.policy)]);
  return (ctx, policy) => ctx.fetch(outcomes, { index: byPolicy, is: refKey(policy) }).map((o) => o.outcome);
}

function policyStatuses(g: Graph, inputs: GatewayApiInputs, api: GatewayApi, outcomes: OutcomesOf): Collection<StatusReport> {
  const kinds = routeSources(inputs);
  return map(g, api.policies, { name: 'PolicyStatuses', key: (r: StatusReport) => refKey(r.object) }, (ctx, policy) => {
    const found = outcomes(ctx, policy.ref);
    const missing = missingTargets(policy, (ref) => {
      const object = ref.kind === 'Gateway' ? ctx.fetchOne(inputs.gateways, `${ref.namespace}/${ref.name}`) : undefined;
      if (object) return hasSection(object.spec.listeners, ref.section) ? 'found' : 'section';
      const set = listenerSetNamed(ctx, inputs.listenerSets, ref)?.set;
      if (set) return hasSection(set.spec.listeners, ref.section) ? 'found' : 'section';
      const routes = kinds.find((k) => k.kind === ref.kind)?.routes;
      const route = routes && ctx.fetchOne(routes, `${ref.namespace}/${ref.name}`);
      if (route) return hasSection(route.spec.rules ?? [], ref.section) ? 'found' : 'section';
      return 'object';
    });
    return policyStatus(policy, [...found, ...withoutRoutes(ctx, inputs, api, policy, found)], missing);
  });
}

/** A Gateway or ListenerSet without routes has the policy all the same. */
function withoutRoutes(
  ctx: Ctx,
  { listenerSets }: Pick<GatewayApiInputs, 'listenerSets'>,
  { gateways }: Pick<GatewayApi, 'gateways'>,
  policy: Policy<RoutePolicies>,
  found: readonly PolicyAttachment[],
): readonly PolicyAttachment[] {
  return policy.targets.flatMap((t): PolicyAttachment[] => {
    if (t.by !== 'name') return [];
    const key = `${t.ref.namespace}/${t.ref.name}`;
    const set = listenerSetNamed(ctx, listenerSets, t.ref);
    const view = t.ref.kind === 'Gateway' ? ctx.fetchOne(gateways, key) : set && ctx.fetchOne(gateways, gatewayOfSet(set.set));
    if (!view || (set && !view.sets.some((s) => s.allowed && refKey(s.ref) === refKey(set.ref)))) return [];
    const { section: _, ...ancestor } = t.ref;
    if (found.some((o) => refKey(o.ancestor) === refKey(ancestor))) return [];
    return [{ policy: policy.ref, ancestor, state: 'attached' }];
  });
}

function hasSection(sections: readonly { readonly name?: string }[], name: string | undefined): boolean {
  return name === undefined || sections.some((s) => s.name === name);
}
