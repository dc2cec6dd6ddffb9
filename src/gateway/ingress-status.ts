/**
 * What becomes of Ingresses: [IngressView] + [addresses of its Gateway] -> status.loadBalancer. An Ingress has no conditions; what is wrong with one is
 * a line in the log and counts in a metric.
 */
import { isIP } from 'node:net';
import { type ObjectRef, refKey } from '../ir/object-ref.ts';
import type { FieldsReport } from '../ir/report.ts';
import { type Collection, type Ctx, type Graph, type Index, map } from '../krt/index.ts';
import { describeProblems } from '../policy/problem.ts';
import { gatewayGroup } from './conditions.ts';
import type { GatewayView } from './gateway.ts';
import { type IngressView, derivedName, routeNamesOf } from './ingress.ts';
import type { RouteParents, RouteRules } from './route.ts';
import type { RuleOutcome } from './route-rule.ts';
import type { RejectedObject } from './status.ts';

/** Statuses of all Ingresses of ours. */
export function ingressStatuses(
  g: Graph,
  views: Collection<IngressView>,
  addresses: Collection<{ readonly gateway: string; readonly addresses: readonly string[] }>,
): Collection<FieldsReport> {
  const key = (r: FieldsReport): string => refKey(r.object);
  return map(g, views, { name: 'IngressStatuses', key }, (ctx, view): FieldsReport => {
    const at = ctx.fetchOne(addresses, view.gateway)?.addresses ?? [];
    const ingress = at.map((a) => (isIP(a) === 0 ? { hostname: a } : { ip: a }));
    return { form: 'fields', object: view.ref, generation: view.generation, fields: { loadBalancer: { ingress } } };
  });
}

/** Something about an Ingress that does not work; the rest of it serves. */
export interface IngressProblem {
  /** `namespace/name`. */
  readonly key: string;
  readonly messages: readonly string[];
}

export interface IngressProblemInputs {
  readonly views: Collection<IngressView>;
  readonly gateways: Collection<GatewayView>;
  readonly rules: Collection<RouteRules<RuleOutcome>>;
  readonly parents: Collection<RouteParents>;
  readonly rejected: Index<RejectedObject>;
}

/** Ingresses of which something does not work. */
export function ingressProblems(g: Graph, inputs: IngressProblemInputs): Collection<IngressProblem> {
  return map(g, inputs.views, { name: 'IngressProblems' }, (ctx, view): IngressProblem | undefined => {
    const messages = [...new Set([...ofGateway(ctx, inputs, view), ...ofRoutes(ctx, inputs, view)])];
    return messages.length === 0 ? undefined : { key: view.key, messages };
  });
}

function ofGateway(ctx: Ctx, { gateways }: IngressProblemInputs, view: IngressView): readonly string[] {
  const gateway = ctx.fetchOne(gateways, view.gateway);
  if (!gateway) return [`Gateway ${view.gateway} not found, or not of a class of ours`];
  const set = derivedName(view.key);
  if (gateway.sets.some((s) => !s.allowed && s.ref.namespace === view.namespace && s.ref.name === set)) {
    return [`TLS: Gateway ${view.gateway} does not allow listeners of namespace ${view.namespace}; see its spec.allowedListeners`];
  }
  const listeners = gateway.listeners.filter((l) => l.owner.namespace === view.namespace && l.owner.name === set);
  return listeners.flatMap((l) =>
    l.conditions
      .filter((c) => c.status === 'False' && (c.type === 'Accepted' || c.type === 'ResolvedRefs'))
      .map((c) => `TLS of host ${l.hostname}: ${c.message}`),
  );
}

function ofRoutes(ctx: Ctx, { rules, parents, rejected }: IngressProblemInputs, view: IngressView): readonly string[] {
  return routeNamesOf(view).flatMap((name) => {
    const ref: ObjectRef = { group: gatewayGroup, kind: 'HTTPRoute', namespace: view.namespace, name };
    const key = `HTTPRoute/${ref.namespace}/${ref.name}`;
    const found = ctx.fetchOne(rules, key)?.rules ?? [];
    const refused = ctx.fetchOne(parents, key)?.parents.filter((p) => p.acceptance.status === 'False') ?? [];
    return [
      ...found.flatMap((r) => [...r.unresolved.map((u) => u.message), ...(r.dropped.length > 0 ? [describeProblems(r.dropped)] : [])]),
      ...refused.filter((p) => p.parentRef.kind === 'Gateway').map((p) => p.acceptance.message),
      ...ctx.fetch(rejected.collection, { index: rejected, is: refKey(ref) }).map((r) => r.message),
    ];
  });
}
