/**
 * ListenerSets: further listeners of a Gateway, in the hands of others.
 *
 *   [ListenerSet] -> [Gateway.spec.allowedListeners] -> ListenerSetView -> listeners behind those of the Gateway: older sets first, then by name
 */
import { type ObjectRef, refKey } from '../ir/object-ref.ts';
import { compareOrder } from '../ir/precedence.ts';
import type { ConditionIntent, WholeReport } from '../ir/report.ts';
import { type Collection, type Ctx, type Graph, type Index, join, map } from '../krt/index.ts';
import type { Namespace } from '../kube/types/core.ts';
import type { Gateway, Listener, ListenerSet } from '../kube/types/gateway-api.ts';
import type { XListenerSet } from '../kube/types/gateway-api-legacy.ts';
import { keyOf } from '../kube/types/meta.ts';
import { listenerSet as condition, gatewayGroup } from './conditions.ts';
import type { GatewayListener } from './gateway-listener.ts';
import type { GatewayView } from './gateway.ts';
import { letsIn } from './labels.ts';
import { type GatewayFacts, listenerReport } from './status.ts';

/** A ListenerSet, or what it was called before it became a part of the Gateway API: both have the same fields. */
export interface ListenerSetObject {
  readonly ref: ObjectRef;
  readonly set: ListenerSet;
}

const kinds = { ListenerSet: gatewayGroup, XListenerSet: 'gateway.networking.x-k8s.io' } as const;

export interface ListenerSetSources {
  readonly listenerSets: Collection<ListenerSet>;
  /** Empty where the CRD is not installed. */
  readonly xListenerSets: Collection<XListenerSet>;
}

/** The sets of both kinds, by `refKey`. */
export function listenerSetObjects(g: Graph, inputs: ListenerSetSources): Collection<ListenerSetObject> {
  const key = ({ ref }: ListenerSetObject): string => refKey(ref);
  const object = (kind: keyof typeof kinds, set: ListenerSet): ListenerSetObject => ({
    ref: { group: kinds[kind], kind, namespace: set.metadata.namespace ?? '', name: set.metadata.name },
    set,
  });
  return join(g, { name: 'ListenerSets' }, [
    map(g, inputs.listenerSets, { name: 'ListenerSetObjects', key }, (_ctx, set) => object('ListenerSet', set)),
    map(g, inputs.xListenerSets, { name: 'XListenerSetObjects', key }, (_ctx, set) =>
      object('XListenerSet', { ...set, kind: 'ListenerSet' }),
    ),
  ]);
}

/** Finds the set that a reference names; undefined when it is of another kind. */
export function listenerSetNamed(ctx: Ctx, sets: Collection<ListenerSetObject>, ref: ObjectRef): ListenerSetObject | undefined {
  const { section: _, ...object } = ref;
  return object.kind in kinds ? ctx.fetchOne(sets, refKey(object)) : undefined;
}

/** ListenerSets, and their index by Gateway. */
export interface ListenerSets {
  readonly collection: Collection<ListenerSetObject>;
  readonly byGateway: Index<ListenerSetObject>;
  readonly namespaces: Collection<Namespace>;
}

/** A ListenerSet of a Gateway. */
export interface ListenerSetView {
  readonly ref: ObjectRef;
  readonly labels: Readonly<Record<string, string>>;
  /** False: the Gateway does not allow it, and its listeners do not exist. */
  readonly allowed: boolean;
  readonly listeners: readonly Listener[];
}

/** `namespace/name` of the Gateway that a set belongs to. */
export function gatewayOfSet(set: ListenerSet): string {
  return `${set.spec.parentRef.namespace ?? set.metadata.namespace}/${set.spec.parentRef.name}`;
}

/** Indexes the sets by their Gateway. */
export function listenerSetsOf(collection: Collection<ListenerSetObject>, namespaces: Collection<Namespace>): ListenerSets {
  return { collection, byGateway: collection.index('gateway', gatewaysOfSet), namespaces };
}

function gatewaysOfSet({ set }: ListenerSetObject): readonly string[] {
  const { group = gatewayGroup, kind = 'Gateway' } = set.spec.parentRef;
  return group === gatewayGroup && kind === 'Gateway' ? [gatewayOfSet(set)] : [];
}

/** The sets of a Gateway, in the order of their precedence. Source: Gateway API, ListenerSet. */
export function setsOfGateway(ctx: Ctx, sets: ListenerSets, gateway: Gateway): readonly ListenerSetView[] {
  const order = ({ set }: ListenerSetObject) => ({ created: set.metadata.creationTimestamp ?? '', key: keyOf(set) });
  return ctx
    .fetch(sets.collection, { index: sets.byGateway, is: keyOf(gateway) })
    .toSorted((a, b) => compareOrder(order(a), order(b)))
    .map(({ ref, set }) => ({
      ref,
      labels: set.metadata.labels ?? {},
      allowed: allows(ctx, sets.namespaces, gateway, set.metadata.namespace ?? ''),
      listeners: set.spec.listeners,
    }));
}

/** True when the Gateway takes sets of the namespace. Source: Gateway API, GatewaySpec.allowedListeners; without it none. */
function allows(ctx: Ctx, namespaces: Collection<Namespace>, gateway: Gateway, namespace: string): boolean {
  const labelsOf = (ns: string) => ctx.fetchOne(namespaces, ns)?.metadata.labels;
  return letsIn(gateway.spec.allowedListeners?.namespaces ?? {}, gateway.metadata.namespace ?? '', namespace, labelsOf);
}

/** True when the listener is one of the set. */
export function isOfSet(l: GatewayListener, ref: ObjectRef): boolean {
  return l.owner.kind === ref.kind && l.owner.namespace === ref.namespace && l.owner.name === ref.name;
}

/** How many sets of the Gateway have a listener that is served. */
export function attachedSets(view: GatewayView): number {
  return view.sets.filter((s) => view.listeners.some((l) => l.valid && isOfSet(l, s.ref))).length;
}

/** Status of a set of one of our Gateways. */
export function listenerSetStatus(view: GatewayView, { ref: object, set }: ListenerSetObject, facts: GatewayFacts): WholeReport {
  const allowed = view.sets.some((s) => s.allowed && refKey(s.ref) === refKey(object));
  const listeners = view.listeners.filter((l) => isOfSet(l, object));
  return {
    form: 'whole',
    object,
    generation: set.metadata.generation ?? 0,
    conditions: setConditions(view, allowed, listeners),
    listeners: listeners.map((l) => ({
      ...listenerReport(view, l, facts),
      // A field of its own, which ListenerSets no longer have.
      ...(object.kind === 'XListenerSet' && { port: l.port }),
    })),
    fields: {},
  };
}

function setConditions(view: GatewayView, allowed: boolean, listeners: readonly GatewayListener[]): readonly ConditionIntent[] {
  if (!allowed) return [condition.notAllowed, condition.notProgrammed('NotAllowed', condition.notAllowed.message)];
  const invalid = listeners.filter((l) => !l.valid);
  const why = invalid.map((l) => `${l.name}: ${l.conditions.find((c) => c.type === 'Programmed')?.message}`).join('; ');
  if (invalid.length === listeners.length) {
    return [condition.noValidListeners(why), condition.notProgrammed('ListenersNotValid', why)];
  }
  return [
    invalid.length === 0 ? condition.accepted : condition.someListenersInvalid(why),
    view.accepted ? condition.programmed : condition.notProgrammed('Invalid', view.acceptance.message),
  ];
}
