/**
 * Which listeners a route attaches to. The same for every kind of route.
 *
 *   [parentRef] -> [Gateway] -> listeners by sectionName and port -> allowed kinds and namespaces -> hostnames that meet
 */
import { type ObjectRef, describeRef } from '../ir/object-ref.ts';
import type { ConditionIntent } from '../ir/report.ts';
import type { ListenerEntry } from '../ir/route.ts';
import type { Collection, Ctx } from '../krt/index.ts';
import type { ParentReference } from '../kube/types/gateway-api.ts';
import { gatewayGroup, route as condition } from './conditions.ts';
import type { DelegationPath } from './delegation.ts';
import { type GatewayListener, type RouteKind, entryOf, samePort } from './gateway-listener.ts';
import type { GatewayView } from './gateway.ts';
import { type ListenerSetObject, gatewayOfSet, isOfSet, listenerSetNamed } from './listenerset.ts';
import { mostSpecific, servedHosts } from './hostname.ts';
import { letsIn } from './labels.ts';
import type { ServiceParents } from './service-parent.ts';
import type { NamespaceView } from './views.ts';

export interface AttachmentInputs {
  readonly listenerSets: Collection<ListenerSetObject>;
  readonly gateways: Collection<GatewayView>;
  readonly namespaces: Collection<NamespaceView>;
  readonly services: ServiceParents;
  /** Namespace of references by delegation label that means every namespace. */
  readonly delegationWildcardNamespace: string;
}

/** The route as far as attachment is concerned. */
export interface AttachingRoute {
  readonly kind: RouteKind;
  readonly namespace: string;
  readonly hostnames: readonly string[] | undefined;
}

export interface AttachedListener {
  /** Its name; absent when the parent is a Service, which a waypoint serves. */
  readonly listener?: string;
  readonly chain: string;
  /** Hostname of the listener. */
  readonly owner: string;
  readonly entry: ListenerEntry;
  /** The hosts that this listener serves the route under: without those that a more specific listener of the port owns. */
  readonly hosts: readonly string[];
  /** False when the listener cannot be programmed: the route counts as attached all the same. */
  readonly valid: boolean;
  /** The port of a Service says nothing of its protocol, and the route, which is for HTTP, names it: that is what it speaks. */
  readonly declares?: true;
  /** Set for a consumer route: only clients of this namespace are served by it. */
  readonly clientNamespace?: string;
}

export interface ParentAttachment {
  readonly parentRef: ParentReference;
  /** Key of the Gateway. */
  readonly gateway: string;
  readonly listeners: readonly AttachedListener[];
  /** The condition `Accepted`. */
  readonly acceptance: ConditionIntent;
  /** Set when the parent is an HTTPRoute that delegates; the listeners are those of the route on the Gateway above. */
  readonly delegation?: DelegationPath;
}

/** Attaches a route to one parent; undefined when the parent is not a Gateway of ours, which then is somebody else's to report on. */
export function attach(
  ctx: Ctx,
  inputs: AttachmentInputs,
  route: AttachingRoute,
  parentRef: ParentReference,
): ParentAttachment | undefined {
  const parent = parentOf(ctx, inputs, route, parentRef);
  if (!parent) return undefined;
  const { gateway, listeners: ofParent } = parent;
  const { key } = gateway;
  const refuse = (acceptance: ConditionIntent): ParentAttachment => ({ parentRef, gateway: key, listeners: [], acceptance });

  const named = ofParent.filter(
    (l) =>
      (parentRef.sectionName === undefined || l.name === parentRef.sectionName) &&
      (parentRef.port === undefined || l.port === parentRef.port),
  );
  if (named.length === 0) return refuse(condition.noMatchingParent(noListener(parent, parentRef)));
  const allowing = named.filter((l) => allows(ctx, inputs, l, route));
  if (allowing.length === 0) {
    return refuse(
      condition.notAllowed(
        `No listener of Gateway ${key} allows a ${route.kind.kind} from namespace ${route.namespace}; see allowedRoutes of ${names(named)}`,
      ),
    );
  }
  const listeners = allowing.flatMap((l): AttachedListener[] => {
    const hosts = servedHosts(l.hostname, route.hostnames);
    if (hosts.length === 0) return [];
    return [
      { listener: l.key, chain: l.chain, owner: l.hostname, entry: entryOf(l), hosts: ownedHosts(gateway, l, hosts), valid: l.valid },
    ];
  });
  if (listeners.length === 0) {
    return refuse(
      condition.noMatchingHostname(
        `No hostname of the route (${route.hostnames?.join(', ')}) matches a listener of Gateway ${key} (${allowing.map((l) => l.hostname).join(', ')})`,
      ),
    );
  }
  return { parentRef, gateway: key, listeners, acceptance: condition.accepted };
}

/** What a parentRef names: a Gateway, or a ListenerSet of one. */
interface Parent {
  readonly ref: ObjectRef;
  readonly gateway: GatewayView;
  /** Of the Gateway itself, or of the set. */
  readonly listeners: readonly GatewayListener[];
}

function parentOf(ctx: Ctx, inputs: AttachmentInputs, route: AttachingRoute, parentRef: ParentReference): Parent | undefined {
  const { group = gatewayGroup, kind = 'Gateway', name } = parentRef;
  const namespace = parentRef.namespace ?? route.namespace;
  const ref = { group, kind, namespace, name };
  const found = listenerSetNamed(ctx, inputs.listenerSets, ref);
  const key = group === gatewayGroup && kind === 'Gateway' ? `${namespace}/${name}` : found && gatewayOfSet(found.set);
  const gateway = key === undefined ? undefined : ctx.fetchOne(inputs.gateways, key);
  return gateway && { ref, gateway, listeners: gateway.listeners.filter((l) => isOfSet(l, ref)) };
}

/** Listener isolation: a host belongs to the listener of the port with the most specific hostname (Gateway API: Listener.hostname). */
function ownedHosts(gateway: GatewayView, listener: GatewayListener, hosts: readonly string[]): readonly string[] {
  const rivals = gateway.listeners.filter((l) => samePort(l, listener) && l.valid).map((l) => l.hostname);
  if (rivals.length < 2) return hosts;
  return hosts.filter((host) => mostSpecific(rivals, host) === listener.hostname);
}

function allows(ctx: Ctx, inputs: AttachmentInputs, l: GatewayListener, route: AttachingRoute): boolean {
  if (!l.kinds.some((k) => k.group === route.kind.group && k.kind === route.kind.kind)) return false;
  const { from = 'Same', selector } = l.namespaces;
  return letsIn(
    { from, ...(selector && { selector }) },
    l.owner.namespace,
    route.namespace,
    (ns) => ctx.fetchOne(inputs.namespaces, ns)?.labels,
  );
}

function noListener({ ref, listeners }: Parent, wantedRef: ParentReference): string {
  const { sectionName, port } = wantedRef;
  const wanted = [sectionName && `named ${sectionName}`, port && `on port ${port}`].filter(Boolean).join(' ');
  const there = listeners.map((l) => `${l.name}:${l.port}`).join(', ') || 'none';
  return `${describeRef(ref)} has no listener ${wanted}; it has ${there}`;
}

function names(listeners: readonly GatewayListener[]): string {
  return listeners.length === 1 ? `listener ${listeners[0]?.name}` : `listeners ${listeners.map((l) => l.name).join(', ')}`;
}
