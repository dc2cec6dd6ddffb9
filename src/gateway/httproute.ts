/**
 * HTTPRoutes, in two halves that change for different reasons:
 *
 *   [HTTPRoute] + [Service, ReferenceGrant]   -> RouteRules    what it does
 *   [HTTPRoute] + [Gateway, Namespace]        -> RouteParents  where it serves
 */
import type { ObjectRef } from '../ir/object-ref.ts';
import type { RouteOrder } from '../ir/route.ts';
import type { Ctx } from '../krt/index.ts';
import type { HTTPRoute } from '../kube/types/gateway-api.ts';
import { keyOf } from '../kube/types/meta.ts';
import { type AttachmentInputs, type ParentAttachment, attach } from './attachment.ts';
import { type BackendInputs, routeSubject } from './backendref.ts';
import { gatewayGroup } from './conditions.ts';
import { type TranslatedRule, translateRule } from './httproute-rule.ts';

export interface RouteRules {
  readonly key: string;
  readonly ref: ObjectRef;
  readonly generation: number;
  readonly order: RouteOrder;
  readonly rules: readonly TranslatedRule[];
}

export interface RouteParents {
  readonly key: string;
  readonly ref: ObjectRef;
  readonly generation: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly parents: readonly ParentAttachment[];
}

/** Name of a rule among those of its route: the user's, else its position. */
export function ruleName(name: string | undefined, index: number): string {
  return name ?? String(index);
}

function refOf(route: HTTPRoute): ObjectRef {
  return { group: gatewayGroup, kind: 'HTTPRoute', namespace: route.metadata.namespace ?? '', name: route.metadata.name };
}

/** Translates the rules of a route. */
export function translateRules(ctx: Ctx, inputs: BackendInputs, route: HTTPRoute): RouteRules {
  const ref = refOf(route);
  const from = routeSubject('HTTPRoute', ref.namespace);
  return {
    key: keyOf(route),
    ref,
    generation: route.metadata.generation ?? 0,
    order: { created: route.metadata.creationTimestamp ?? '', key: keyOf(route) },
    rules: (route.spec.rules ?? []).map((rule, i) =>
      translateRule(ctx, inputs, from, rule, {
        name: `httproute/${ref.namespace}/${ref.name}/${ruleName(rule.name, i)}`,
        origin: { ...ref, section: ruleName(rule.name, i) },
        field: `spec.rules[${i}]`,
      }),
    ),
  };
}

/** Attaches a route to its parents; undefined when none of them is ours. */
export function attachRoute(ctx: Ctx, inputs: AttachmentInputs, route: HTTPRoute): RouteParents | undefined {
  const ref = refOf(route);
  const attaching = { kind: { group: gatewayGroup, kind: 'HTTPRoute' }, namespace: ref.namespace, hostnames: route.spec.hostnames };
  const parents = (route.spec.parentRefs ?? []).flatMap((parentRef) => attach(ctx, inputs, attaching, parentRef) ?? []);
  if (parents.length === 0) return undefined;
  return { key: keyOf(route), ref, generation: route.metadata.generation ?? 0, labels: route.metadata.labels ?? {}, parents };
}
