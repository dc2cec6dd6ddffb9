/**
 * Delegation: a rule of an HTTPRoute hands what it matches to other HTTPRoutes. Source: kgateway, route delegation.
 *
 *   [backendRef: HTTPRoute | "*" | label] -> DelegatingRef -> index by selector <- [labels, parentRefs] of the child
 *   child -> its parents -> theirs -> a route on a Gateway: DelegationPath, with the matches that are left (delegation-match.ts)
 *
 * A child looks up its parents, never the other way round: of a thousand children of one rule, a change of one concerns that one.
 */
import type { ObjectRef } from '../ir/object-ref.ts';
import { compareText } from '../ir/precedence.ts';
import type { HttpMatch } from '../ir/route.ts';
import type { Collection, Ctx, Index } from '../krt/index.ts';
import type { HTTPBackendRef, HTTPRoute, ParentReference } from '../kube/types/gateway-api.ts';
import { type InheritedPriority, inheritedPriorityAnnotation, inheritedPriorityOf } from '../policy/inheritance.ts';
import type { ParentAttachment } from './attachment.ts';
import type { BackendTarget } from './backendref.ts';
import { gatewayGroup } from './conditions.ts';
import { matchesWithin } from './delegation-match.ts';
import type { RouteParents, RouteRules } from './route.ts';

const labelGroup = 'delegation.kgateway.dev';
const labelName = 'delegation.kgateway.dev/label';
const inheritAnnotation = 'delegation.kgateway.dev/inherit-parent-matcher';
/** Namespace of a reference by label that means every namespace, unless the administrator calls it otherwise. */
export const everyNamespace = 'all';

/** A backendRef that leads to other HTTPRoutes. */
export interface DelegatingRef {
  /** Position of the rule, and of the reference in it. */
  readonly rule: number;
  readonly ref: number;
  /** The key under which children are selected: `name/NAMESPACE/NAME`, `all/NAMESPACE` or `label/NAMESPACE/VALUE`. */
  readonly selector: string;
}

/** A parentRef that names an HTTPRoute. */
export interface NamedParent {
  /** Key of the HTTPRoute. */
  readonly route: string;
  readonly parentRef: ParentReference;
}

/** What an HTTPRoute says about delegation, as parent and as child. */
export interface DelegationFacts {
  readonly refs: readonly DelegatingRef[];
  /** The HTTPRoutes that may delegate to it; absent: without parentRefs any may. */
  readonly parents?: readonly NamedParent[];
  /** A route with hostnames cannot be delegated to. */
  readonly hostnames: boolean;
  /** Its paths continue those of the parent, and it has the parent's other matches too. */
  readonly inheritsMatches: boolean;
  /** How its policies and those of its children come together. */
  readonly priority: InheritedPriority;
}

/** One rule that delegates, on the way from a child to a Gateway. */
export interface DelegationStep {
  /** Key of the route of the rule. */
  readonly route: string;
  readonly ref: ObjectRef;
  readonly labels: Readonly<Record<string, string>>;
  readonly rule: number;
  readonly priority: InheritedPriority;
}

/** How a child comes to be served. */
export interface DelegationPath {
  /** The parent first, the route on the Gateway last. */
  readonly steps: readonly DelegationStep[];
  /** By rule of the child, what it matches there; empty: the rule does not fit the parent's. */
  readonly matches: readonly (readonly HttpMatch[])[];
  /** The references that it fulfils; see `fulfilmentKey`. */
  readonly fulfils: readonly string[];
}

/** True when the backendRef of an HTTPRoute delegates. */
export function delegates(ref: BackendTarget): boolean {
  return (ref.group === gatewayGroup && ref.kind === 'HTTPRoute') || (ref.group === labelGroup && ref.kind === 'label');
}

/** Reads what an HTTPRoute says about delegation; `every` is the namespace of a reference by label that means every namespace. */
export function delegationFacts(route: HTTPRoute, every: string): DelegationFacts {
  const namespace = route.metadata.namespace ?? '';
  const { parentRefs = [], hostnames = [], rules = [] } = route.spec;
  const annotations = route.metadata.annotations ?? {};
  const parents = parentRefs.flatMap((parentRef): NamedParent[] => {
    if ((parentRef.group ?? gatewayGroup) !== gatewayGroup || parentRef.kind !== 'HTTPRoute') return [];
    return [{ route: `HTTPRoute/${parentRef.namespace ?? namespace}/${parentRef.name}`, parentRef }];
  });
  return {
    refs: rules.flatMap((rule, i) =>
      (rule.backendRefs ?? []).flatMap((ref, j) =>
        delegates(ref) ? [{ rule: i, ref: j, selector: selectorOf(ref, namespace, every) }] : [],
      ),
    ),
    ...(parentRefs.length > 0 && { parents }),
    hostnames: hostnames.length > 0,
    inheritsMatches: ['true', 'yes', 'enabled'].includes(annotations[inheritAnnotation]?.toLowerCase() ?? ''),
    priority: inheritedPriorityOf(annotations[inheritedPriorityAnnotation]),
  };
}

function selectorOf(ref: HTTPBackendRef, own: string, every: string): string {
  const namespace = ref.namespace ?? own;
  if (ref.group === labelGroup) return `label/${namespace === every ? '*' : namespace}/${ref.name}`;
  return ref.name === '*' || ref.name === '' ? `all/${namespace}` : `name/${namespace}/${ref.name}`;
}

/** Every selector that finds the route. */
function selectorsOf({ ref: { namespace, name }, labels }: RouteParents): readonly string[] {
  const label = labels[labelName];
  return [
    `name/${namespace}/${name}`,
    `all/${namespace}`,
    ...(label === undefined ? [] : [`label/${namespace}/${label}`, `label/*/${label}`]),
  ];
}

/** Key of a reference that waits for children. */
export function fulfilmentKey(route: string, rule: number, ref: number): string {
  return `${route}|${rule}|${ref}`;
}

export interface DelegationInputs {
  /** HTTPRoutes where they attach by themselves; those with no such parent too. */
  readonly candidates: Collection<RouteParents>;
  /** Of `candidates`, by the selectors of their references. */
  readonly bySelector: Index<RouteParents>;
  readonly rules: Collection<RouteRules>;
  /** Where a route attaches by itself, once conflicts with others are settled. */
  readonly settled: (ctx: Ctx, route: RouteParents) => readonly ParentAttachment[];
}

/** The selectors of a route, for the index of parents. */
export function selectorsOfRefs(route: RouteParents): readonly string[] {
  return [...new Set(route.delegation?.refs.map((r) => r.selector))];
}

/** A way from a child up to a route on a Gateway. */
export interface Ascent {
  readonly steps: readonly AscentStep[];
  /** Where the last route is attached. */
  readonly attachments: readonly ParentAttachment[];
}

interface AscentStep {
  readonly parent: RouteParents;
  readonly ref: DelegatingRef;
}

/**
 * A bound on the rules looked at above the parents of a child: routes that delegate to each other could make the ways up as many as one likes.
 * Parents share it evenly, so that none of them can use up what another one needs.
 */
const maxStepsAbove = 100;
const minStepsAbove = 2;
/** Parents that are on no Gateway by themselves. */
const maxUnattached = 100;

export interface Ascents {
  readonly ascents: readonly Ascent[];
  /** False: there are more than are looked at, and the route is served by those alone. */
  readonly complete: boolean;
}

/** Finds the ways up from a route. A way never visits a route twice, so that cycles end. */
export function ascentsOf(ctx: Ctx, inputs: DelegationInputs, child: RouteParents): Ascents {
  const ascents: Ascent[] = [];
  let complete = true;
  const delegating = delegatingTo(ctx, inputs);
  const visit = (steps: readonly AscentStep[], parent: RouteParents): void => {
    const attachments = inputs.settled(ctx, parent).filter((a) => a.listeners.length > 0);
    if (attachments.length > 0) ascents.push({ steps, attachments });
  };
  const climb = (below: readonly AscentStep[], from: RouteParents, budget: { left: number }): void => {
    // What has hostnames of its own serves by itself alone.
    if (from.delegation?.hostnames) return;
    for (const step of stepsUp(delegating, from)) {
      if (step.parent.key === child.key || below.some((s) => s.parent.key === step.parent.key)) continue;
      if (budget.left-- <= 0) {
        complete = false;
        return;
      }
      const steps = [...below, step];
      visit(steps, step.parent);
      climb(steps, step.parent, budget);
    }
  };
  const all = [...stepsUp(delegating, child)].filter((s) => s.parent.key !== child.key);
  const attached = all.filter((s) => s.parent.parents.length > 0);
  const others = all.filter((s) => s.parent.parents.length === 0);
  if (others.length > maxUnattached) complete = false;
  const nearest = [...attached, ...others.slice(0, maxUnattached)];
  for (const step of nearest) {
    visit([step], step.parent);
    climb([step], step.parent, { left: Math.max(minStepsAbove, Math.floor(maxStepsAbove / nearest.length)) });
  }
  return { ascents, complete };
}

/** The rules that delegate to a route, where it consents; one after the other, as few of many may be asked for. */
function* stepsUp(delegating: (selector: string) => readonly AscentStep[], route: RouteParents): Generator<AscentStep> {
  for (const selector of selectorsOf(route)) {
    for (const step of delegating(selector)) if (mayDelegate(step.parent, route)) yield step;
  }
}

/** Finds the rules by selector, each once in a run: those of a wildcard are the same for all routes of its namespace. */
function delegatingTo(ctx: Ctx, inputs: DelegationInputs): (selector: string) => readonly AscentStep[] {
  const known = new Map<string, readonly AscentStep[]>();
  return (is) => {
    const found =
      known.get(is) ??
      ctx
        .fetch(inputs.candidates, { index: inputs.bySelector, is })
        .toSorted((a, b) => compareText(a.key, b.key))
        .flatMap((parent) => (parent.delegation?.refs ?? []).flatMap((ref) => (ref.selector === is ? [{ parent, ref }] : [])));
    known.set(is, found);
    return found;
  };
}

/** The path of an ascent, with the matches of all rules on the way. */
export function pathOf(ctx: Ctx, inputs: DelegationInputs, child: RouteParents, { steps }: Ascent): DelegationPath {
  // From the Gateway down, each route within the rule above it.
  let above: readonly HttpMatch[] | undefined;
  for (const { parent, ref } of steps.toReversed()) {
    const own = matchesOf(ctx, inputs, parent)[ref.rule] ?? [];
    above = above === undefined ? own : matchesWithin(above, own, parent.delegation?.inheritsMatches === true);
  }
  const within = above ?? [];
  const inherits = child.delegation?.inheritsMatches === true;
  const matches = matchesOf(ctx, inputs, child).map((own) => matchesWithin(within, own, inherits));
  const fits = matches.some((m) => m.length > 0);
  return {
    steps: steps.map(({ parent, ref }) => ({
      route: parent.key,
      ref: parent.ref,
      labels: parent.labels,
      rule: ref.rule,
      priority: parent.delegation?.priority ?? 'ShallowMergePreferChild',
    })),
    matches,
    fulfils: fits ? steps.slice(0, 1).map(({ parent, ref }) => fulfilmentKey(parent.key, ref.rule, ref.ref)) : [],
  };
}

/** By rule; of a rule that was dropped, none. */
function matchesOf(ctx: Ctx, inputs: DelegationInputs, route: RouteParents): readonly (readonly HttpMatch[])[] {
  return (ctx.fetchOne(inputs.rules, route.key)?.rules ?? []).map((r) => r.rule?.matches ?? []);
}

/** The routes that a route delegates to although they are above it. */
export function cyclesOf(route: RouteParents, ascents: readonly Ascent[]): readonly string[] {
  const selected = new Set(route.delegation?.refs.map((r) => r.selector));
  if (selected.size === 0) return [];
  const above = new Map(ascents.flatMap((a) => a.steps.map(({ parent }) => [parent.key, parent] as const)));
  return [...above.values()]
    .filter((parent) => mayDelegate(route, parent) && selectorsOf(parent).some((s) => selected.has(s)))
    .map(({ ref }) => `${ref.namespace}/${ref.name}`);
}

/** Consent of the child, in place of a ReferenceGrant: without parentRefs it offers itself to anyone, with them to those that they name. */
function mayDelegate(parent: RouteParents, child: RouteParents): boolean {
  const allowed = child.delegation?.parents;
  return allowed === undefined || allowed.some((p) => p.route === parent.key);
}
