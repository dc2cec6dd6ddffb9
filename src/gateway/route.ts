/**
 * Routes of every kind, in two halves that change for different reasons:
 *
 *   [Route] + [Service, ReferenceGrant]   -> RouteRules    what it does
 *   [Route] + [Gateway, Namespace]        -> RouteParents  where it serves
 */
import type { ObjectRef } from '../ir/object-ref.ts';
import type { RouteOrder } from '../ir/route.ts';
import type { Ctx } from '../krt/index.ts';
import type { HTTPRoute, ParentReference } from '../kube/types/gateway-api.ts';
import { type KubeObject, keyOf } from '../kube/types/meta.ts';
import { type AttachmentInputs, type ParentAttachment, attach } from './attachment.ts';
import { routeSubject } from './backendref.ts';
import { gatewayGroup } from './conditions.ts';
import { type DelegationFacts, delegationFacts } from './delegation.ts';
import type { Problem } from '../policy/problem.ts';
import { routeAnnotations } from './route-annotations.ts';
import type { GrantSubject } from './referencegrant.ts';
import { attachToService } from './service-parent.ts';
import type { RuleId, RuleInputs, RuleOutcome, TranslatedRule, UnresolvedRef } from './route-rule.ts';

export type RouteKindName = 'HTTPRoute' | 'GRPCRoute' | 'TLSRoute' | 'TCPRoute' | 'UDPRoute';

/** What the kinds of routes have in common. */
export interface RouteObject<Rule = { readonly name?: string }> extends KubeObject {
  readonly spec: {
    readonly parentRefs?: readonly ParentReference[];
    readonly hostnames?: readonly string[];
    readonly rules?: readonly Rule[];
  };
}

/** What differs between the kinds: how a rule is read. */
export type RuleTranslation<Rule, Outcome> = (ctx: Ctx, inputs: RuleInputs, from: GrantSubject, rule: Rule, id: RuleId) => Outcome;

export interface RouteRules<Outcome extends RuleOutcome = TranslatedRule> {
  readonly key: string;
  readonly ref: ObjectRef;
  readonly generation: number;
  readonly order: RouteOrder;
  readonly rules: readonly Outcome[];
  /** What is wrong with annotations, which then have no effect. */
  readonly ignored: readonly Problem[];
}

export interface RouteParents {
  readonly key: string;
  readonly ref: ObjectRef;
  readonly generation: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly order: RouteOrder;
  readonly parents: readonly ParentAttachment[];
  /** Of HTTPRoutes, before their delegations are looked at. */
  readonly delegation?: DelegationFacts;
  readonly report?: DelegationReport;
}

/** What is wrong with the delegations from and to a route. */
export interface DelegationReport {
  readonly unresolved: readonly UnresolvedRef[];
  readonly partially: readonly string[];
}

/** Key of a route in collections that hold several kinds. */
export function routeKey(kind: string, route: KubeObject): string {
  return `${kind}/${keyOf(route)}`;
}

/** Name of a rule among those of its route: the user's, else its position. */
function ruleName(name: string | undefined, index: number): string {
  return name ?? String(index);
}

/** Names a route. */
export function routeRef(kind: RouteKindName, route: KubeObject): ObjectRef {
  return { group: gatewayGroup, kind, namespace: route.metadata.namespace ?? '', name: route.metadata.name };
}

function orderOf(route: KubeObject): RouteOrder {
  return { created: route.metadata.creationTimestamp ?? '', key: keyOf(route) };
}

/** Translates the rules of a route. */
export function translateRules<Rule extends { readonly name?: string }, Outcome extends RuleOutcome>(
  ctx: Ctx,
  inputs: RuleInputs,
  kind: RouteKindName,
  route: RouteObject<Rule>,
  translate: RuleTranslation<Rule, Outcome>,
): RouteRules<Outcome> {
  const ref = routeRef(kind, route);
  const from = routeSubject(kind, ref.namespace, route.spec.parentRefs);
  const rules = route.spec.rules ?? [];
  const { weight, redirectStatus, problems: ignored } = routeAnnotations(route, rules);
  return {
    key: routeKey(kind, route),
    ref,
    generation: route.metadata.generation ?? 0,
    order: { ...orderOf(route), ...(inputs.weightedRoutes && weight !== 0 && { weight }) },
    ignored,
    rules: rules.map((rule, i) =>
      translate(ctx, inputs, from, rule, {
        redirectStatus: (rule.name === undefined ? undefined : redirectStatus.get(rule.name)) ?? redirectStatus.get(undefined),
        name: `${kind.toLowerCase()}/${ref.namespace}/${ref.name}/${ruleName(rule.name, i)}`,
        origin: { ...ref, section: ruleName(rule.name, i) },
        field: `spec.rules[${i}]`,
      }),
    ),
  };
}

/** Attaches a route to its parents. Undefined when none of them is ours, except for HTTPRoutes, which others may delegate to. */
export function attachRoute(ctx: Ctx, inputs: AttachmentInputs, kind: RouteKindName, route: RouteObject): RouteParents | undefined {
  const ref = routeRef(kind, route);
  const attaching = { kind: { group: gatewayGroup, kind }, namespace: ref.namespace, hostnames: route.spec.hostnames };
  const parents = (route.spec.parentRefs ?? []).flatMap(
    (parentRef) => attach(ctx, inputs, attaching, parentRef) ?? attachToService(ctx, inputs.services, attaching, parentRef),
  );
  const delegation = kind === 'HTTPRoute' ? delegationFacts(route as HTTPRoute, inputs.delegationWildcardNamespace) : undefined;
  if (parents.length === 0 && !delegation) return undefined;
  return {
    key: routeKey(kind, route),
    ref,
    generation: route.metadata.generation ?? 0,
    labels: route.metadata.labels ?? {},
    order: orderOf(route),
    parents,
    ...(delegation && { delegation }),
  };
}
