/**
 * Where a child of a delegation serves, and what its status says of its parents.
 *
 *   [HTTPRoute] -> ways up to Gateways (delegation.ts) -> a ParentAttachment for each, with the listeners of the route at the top
 */
import { describeRef } from '../ir/object-ref.ts';
import type { ConditionIntent } from '../ir/report.ts';
import type { Ctx } from '../krt/index.ts';
import type { ParentReference } from '../kube/types/gateway-api.ts';
import type { ParentAttachment } from './attachment.ts';
import { gatewayGroup, route as condition } from './conditions.ts';
import { type Ascent, type DelegationInputs, ascentsOf, cyclesOf, pathOf } from './delegation.ts';
import type { DelegationReport, RouteParents } from './route.ts';

/** A route, settled by itself, with the parents that delegate to it; undefined when nothing of it is ours. */
export function withDelegations(ctx: Ctx, inputs: DelegationInputs, route: RouteParents): RouteParents | undefined {
  const { delegation: facts, ...own } = route;
  const { ascents, complete } = ascentsOf(ctx, inputs, route);
  if (ascents.length === 0 && !facts?.parents?.length) return own.parents.length > 0 ? own : undefined;
  const attachments = ascents.flatMap((ascent) => attachedBy(ctx, inputs, route, ascent));
  // Of several ways through one parent the status has one entry, and the last one stands: one that serves.
  const delegated = [...attachments.filter((a) => !a.delegation), ...attachments.filter((a) => a.delegation)];
  const parents = [...own.parents, ...strangers(ctx, inputs, route, ascents), ...delegated];
  if (parents.length === 0) return undefined;
  const report = reportOf(route, ascents, attachments, complete);
  return { ...own, parents, ...(report && { report }) };
}

function attachedBy(ctx: Ctx, inputs: DelegationInputs, route: RouteParents, ascent: Ascent): readonly ParentAttachment[] {
  const [nearest] = ascent.steps;
  if (!nearest) return [];
  const parentRef = parentRefOf(route, nearest.parent);
  const at = (make: (root: ParentAttachment) => Omit<ParentAttachment, 'parentRef' | 'gateway'>): readonly ParentAttachment[] =>
    ascent.attachments.map((root) => ({ parentRef, gateway: root.gateway, ...make(root) }));
  const refuse = (acceptance: ConditionIntent): readonly ParentAttachment[] => at(() => ({ listeners: [], acceptance }));

  if (route.delegation?.hostnames) return refuse(condition.unsupportedValue(hostnamesProblem));
  const path = pathOf(ctx, inputs, route, ascent);
  if (path.fulfils.length > 0) return at((root) => ({ listeners: root.listeners, acceptance: condition.accepted, delegation: path }));
  // A wildcard offers, and who does not fit has not asked for it; but who is named, or names, is told.
  const named = route.delegation?.parents !== undefined || nearest.ref.selector.startsWith('name/');
  return named ? refuse(condition.unsupportedValue(unfit(nearest.parent, nearest.ref.rule))) : [];
}

const hostnamesProblem = 'spec.hostnames must be unset on a delegatee route as they are inherited from the parent route';

function unfit(parent: RouteParents, rule: number): string {
  return `no match of the route lies within spec.rules[${rule}] of ${describeRef(parent.ref)}, which delegates by path prefix: begin its paths with that prefix and repeat headers, query parameters and method, or inherit them by annotation delegation.kgateway.dev/inherit-parent-matcher`;
}

/** As the user wrote it, if so. */
function parentRefOf(route: RouteParents, parent: RouteParents): ParentReference {
  const { namespace, name } = parent.ref;
  const written = route.delegation?.parents?.find((p) => p.route === parent.key)?.parentRef;
  return written ?? { group: gatewayGroup, kind: 'HTTPRoute', namespace, name };
}

/** Parents that the route names and that do not delegate to it. Those on no Gateway of ours are somebody else's to report on. */
function strangers(ctx: Ctx, inputs: DelegationInputs, route: RouteParents, ascents: readonly Ascent[]): readonly ParentAttachment[] {
  return (route.delegation?.parents ?? []).flatMap(({ route: key, parentRef }): ParentAttachment[] => {
    if (ascents.some((a) => a.steps[0]?.parent.key === key)) return [];
    const parent = ctx.fetchOne(inputs.candidates, key);
    const [attachment] = parent?.parents ?? [];
    if (!parent || !attachment) return [];
    const why = `${describeRef(parent.ref)} does not delegate to this route; name it in backendRefs there, with group ${gatewayGroup} and kind HTTPRoute`;
    return [{ parentRef, gateway: attachment.gateway, listeners: [], acceptance: condition.noMatchingParent(why) }];
  });
}

function reportOf(
  route: RouteParents,
  ascents: readonly Ascent[],
  attachments: readonly ParentAttachment[],
  complete: boolean,
): DelegationReport | undefined {
  const unresolved = cyclesOf(route, ascents).map((child) => ({
    reason: 'RefNotPermitted' as const,
    message: `ignoring child route ${child} for parent ${route.ref.namespace}/${route.ref.name}: cyclic reference`,
  }));
  const serving = attachments.flatMap((a) => a.delegation ?? []);
  const rules = serving[0]?.matches.map((_, i) => i) ?? [];
  const unfitRules = route.parents.length > 0 ? [] : rules.filter((i) => serving.every((p) => p.matches[i]?.length === 0));
  const partially = [
    ...unfitRules.map((i) => `spec.rules[${i}]: no match lies within the rule of a parent that delegates to the route`),
    ...(complete ? [] : ['more rules lead to the route than are followed; name its parents in parentRefs']),
  ];
  return unresolved.length > 0 || partially.length > 0 ? { unresolved, partially } : undefined;
}
