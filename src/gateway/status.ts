/**
 * Statuses of GatewayClasses, Gateways and HTTPRoutes: what the translation found, what the proxies refused, what addresses there are.
 */
import { isIP } from 'node:net';
import { isWaypointChain, waypointChain } from '../ir/names.ts';
import { type ObjectRef, describeRef, refKey } from '../ir/object-ref.ts';
import type { ConditionIntent, EntriesReport, EntryReport, ListenerReport, WholeReport } from '../ir/report.ts';
import type { GatewayClass } from '../kube/types/gateway-api.ts';
import { type Problem, describeProblems } from '../policy/problem.ts';
import type { AttachedListener, ParentAttachment } from './attachment.ts';
import {
  gatewayClassAccepted,
  gatewayClassSupportedVersion,
  gatewayGroup,
  gateway as gatewayCondition,
  listener as listenerCondition,
  route as routeCondition,
} from './conditions.ts';
import { type GatewayListener, listenerOrigin } from './gateway-listener.ts';
import { attachedSets } from './listenerset.ts';
import type { GatewayView } from './gateway.ts';
import type { RouteParents, RouteRules } from './route.ts';
import type { RuleOutcome } from './route-rule.ts';
import type { ServedRoute } from './served-route.ts';
import { supportedFeatures, waypointFeatures } from './supported-features.ts';
import { isWaypointClass } from './waypoint-class.ts';

/** Something that a proxy refused, on the object that it was made from. */
export interface RejectedObject {
  readonly object: ObjectRef;
  readonly message: string;
}

/** Looks up what proxies refused of an object, or of a section of it. */
export type Rejected = (ref: ObjectRef) => readonly string[];

const rejectedHint = 'the last accepted configuration stays in use';

/** Status of a class of ours. */
export function gatewayClassStatus(gatewayClass: GatewayClass): WholeReport {
  return {
    form: 'whole',
    object: { group: gatewayGroup, kind: 'GatewayClass', namespace: '', name: gatewayClass.metadata.name },
    generation: gatewayClass.metadata.generation ?? 0,
    conditions: [gatewayClassAccepted, gatewayClassSupportedVersion],
    fields: { supportedFeatures: (isWaypointClass(gatewayClass) ? waypointFeatures : supportedFeatures).map((name) => ({ name })) },
  };
}

export interface GatewayFacts {
  /** Routes attached, by key of the listener. */
  readonly attachedRoutes: (listener: string) => number;
  /** IP addresses or host names under which the proxies are reached. */
  readonly addresses: readonly string[];
  readonly rejected: Rejected;
  /** Why the proxies could not be deployed. */
  readonly deployProblem: string | undefined;
}

/** Status of a Gateway. */
export function gatewayStatus(view: GatewayView, facts: GatewayFacts): WholeReport {
  const listeners = view.listeners.filter((l) => l.owner.kind === 'Gateway').map((l) => listenerReport(view, l, facts));
  return {
    form: 'whole',
    object: view.ref,
    generation: view.generation,
    conditions: [
      view.acceptance,
      programmed(view, facts),
      view.unresolved ?? gatewayResolvedRefs(listeners),
      ...listenerSetsCondition(view),
      ...view.warnings,
    ],
    listeners,
    fields: {
      ...(view.sets.length > 0 && { attachedListenerSets: attachedSets(view) }),
      addresses: facts.addresses.map((value) => ({ type: isIP(value) === 0 ? 'Hostname' : 'IPAddress', value })),
    },
  };
}

/** Nothing of ListenerSets where there are none. */
function listenerSetsCondition(view: GatewayView): readonly ConditionIntent[] {
  if (view.sets.length === 0) return [];
  if (!view.sets.some((s) => s.allowed)) return [gatewayCondition.listenerSetsNotAllowed];
  const count = attachedSets(view);
  return [count === 0 ? gatewayCondition.noListenerSets : gatewayCondition.listenerSetsAttached(count)];
}

function programmed(view: GatewayView, facts: GatewayFacts): ConditionIntent {
  if (!view.accepted) return gatewayCondition.notProgrammed(view.acceptance.message);
  if (facts.deployProblem !== undefined) return gatewayCondition.notProgrammed(facts.deployProblem);
  const wanted = view.addresses.flatMap((a) => a.value ?? []);
  const missing = wanted.filter((value) => !facts.addresses.includes(value));
  if (missing.length > 0)
    return gatewayCondition.addressNotUsable(`Addresses not assigned to the Service of the proxy: ${missing.join(', ')}`);
  if (facts.addresses.length === 0) return view.waypoint ? gatewayCondition.podNotReady : gatewayCondition.addressNotAssigned;
  return gatewayCondition.programmed;
}

function gatewayResolvedRefs(listeners: readonly ListenerReport[]): ConditionIntent {
  const resolved = listeners.every((l) => l.conditions.every((c) => c.type !== 'ResolvedRefs' || c.status === 'True'));
  return resolved ? gatewayCondition.resolvedRefs : gatewayCondition.listenersNotResolved;
}

/** Status of a listener of a Gateway or of a ListenerSet. */
export function listenerReport(view: GatewayView, l: GatewayListener, facts: GatewayFacts): ListenerReport {
  const refused = facts.rejected(listenerOrigin(l));
  // Nothing of a Gateway that is not accepted is programmed, however well its listeners are written.
  const unprogrammed = view.accepted
    ? refused.length > 0
      ? refusedListener(refused)
      : undefined
    : listenerCondition.notProgrammed(view.acceptance.message);
  return {
    name: l.name,
    supportedKinds: l.kinds,
    attachedRoutes: facts.attachedRoutes(l.key),
    conditions: unprogrammed ? l.conditions.map((c) => (c.type === 'Programmed' && c.status === 'True' ? unprogrammed : c)) : l.conditions,
  };
}

function refusedListener(messages: readonly string[]): ConditionIntent {
  return listenerCondition.notProgrammed(`The proxy refused the listener, ${rejectedHint}: ${messages.join('; ')}`);
}

export interface RouteFacts {
  readonly rules: RouteRules<RuleOutcome> | undefined;
  /** Rules that answer 500 because of a policy, and references that no other route fulfils. */
  readonly served: Pick<ServedRoute, 'replaced' | 'unresolved'> | undefined;
  readonly rejected: Rejected;
}

/** Our entries in `status.parents` of a route. */
export function routeStatus(parents: RouteParents, facts: RouteFacts): EntriesReport {
  const entries = new Map<string, EntryReport>();
  for (const parent of parents.parents) {
    const conditions = parentConditions(parent, facts, parents);
    entries.set(JSON.stringify(parent.parentRef), { ref: { ...parent.parentRef }, conditions });
  }
  return { form: 'parents', object: parents.ref, generation: parents.generation, entries: [...entries.values()] };
}

function parentConditions(parent: ParentAttachment, facts: RouteFacts, { ref, report }: RouteParents): readonly ConditionIntent[] {
  const rules = facts.rules?.rules ?? [];
  const unresolved = [...rules.flatMap((r) => r.unresolved), ...(report?.unresolved ?? []), ...(facts.served?.unresolved ?? [])];
  const dropped = rules.flatMap((r) => r.dropped);
  const droppedRules = rules.filter((r) => r.dropped.length > 0).length;
  const replaced = [...rules.flatMap((r) => r.replaced), ...(facts.served?.replaced ?? [])];
  const allDropped = rules.length > 0 && droppedRules === rules.length;
  const acceptance =
    parent.acceptance.status === 'True' && allDropped ? routeCondition.unsupportedValue(describeProblems(dropped)) : parent.acceptance;
  const [first] = unresolved;
  const why = [
    ...(allDropped || dropped.length === 0 ? [] : [`Dropped Rule: ${describeProblems(dropped)}`]),
    ...(parent.delegation ? (report?.partially ?? []) : []),
  ];
  const partially = why.length === 0 ? [] : [routeCondition.partiallyInvalid(why.join('; '))];
  return [
    acceptance,
    first
      ? routeCondition.unresolved(first.reason, [...new Set(unresolved.map((u) => u.message))].join('; '))
      : routeCondition.resolvedRefs,
    ...partially,
    programmedRoute(refusedFor(ref, rules, facts.rejected), dropped, replaced, facts.rules?.ignored ?? []),
  ];
}

/** What was refused of the route itself, and of the backends that it leads to, which have no status of their own. */
function refusedFor(ref: ObjectRef, rules: readonly RuleOutcome[], rejected: Rejected): readonly string[] {
  const backends = new Map(rules.flatMap((r) => r.clusters).map(({ origin }) => [refKey(origin), origin]));
  const said = (what: string, messages: readonly string[]): readonly string[] =>
    messages.length === 0 ? [] : [`The proxy refused ${what}, ${rejectedHint}: ${messages.join('; ')}`];
  return [...said('the route', rejected(ref)), ...[...backends.values()].flatMap((b) => said(describeRef(b), rejected(b)))];
}

function programmedRoute(
  refused: readonly string[],
  dropped: readonly Problem[],
  replaced: readonly Problem[],
  ignored: readonly Problem[],
): ConditionIntent {
  if (refused.length > 0) return routeCondition.notProgrammed('Rejected', refused.join('; '));
  const found = (
    [
      ['RouteRuleDropped', 'Dropped Rule', dropped],
      ['RouteRuleReplaced', 'Replaced Rule', replaced],
      ['InvalidAnnotation', 'Ignored', ignored],
    ] as const
  ).filter(([, , problems]) => problems.length > 0);
  const [worst] = found;
  if (!worst) return routeCondition.programmed;
  const why = found.map(([, what, problems]) => `${what}: ${describeProblems(problems)}`).join('; ');
  return routeCondition.notProgrammed(worst[0], why);
}

/** Key of a listener of a Gateway in indexes. */
export function listenerKey(gateway: string, listener: string): string {
  return `${gateway}/${listener}`;
}

/** Key of the listener that counts a route. A waypoint has one, which counts those of its Services too. */
export function countedKey(gateway: string, { listener = waypointChain, chain }: AttachedListener): string {
  return listenerKey(gateway, isWaypointChain(chain) ? waypointChain : listener);
}

/** Key of what a route is attached to: a listener, or a port of a Service behind a waypoint. */
export function attachedKey(gateway: string, { listener, chain, clientNamespace }: AttachedListener): string {
  return listenerKey(gateway, listener ?? `${chain}/${clientNamespace ?? ''}`);
}
