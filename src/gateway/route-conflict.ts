/**
 * An HTTPRoute and a GRPCRoute cannot share a host of a listener: the older one has it.
 * Source: Gateway API, GRPCRouteSpec.hostnames.
 *
 *   [GRPCRoutes of a listener] + [its HTTPRoutes] -> by age, each against those accepted before it -> [Conflict]
 *
 * A port of a Service that declares nothing speaks HTTP once an HTTPRoute or GRPCRoute names it; a TLSRoute or TCPRoute then cannot (GEP-1294).
 */
import { type ObjectRef, describeRef } from '../ir/object-ref.ts';
import { compareOrder } from '../ir/precedence.ts';
import { type Collection, type Ctx, type Graph, type Index, flatMap, group } from '../krt/index.ts';
import type { ParentAttachment } from './attachment.ts';
import { route as condition } from './conditions.ts';
import { intersect } from './hostname.ts';
import type { RouteParents } from './route.ts';
import type { Candidates } from './routes.ts';
import { attachedKey } from './status.ts';

/** A route that loses a listener, and to which one. */
export interface Conflict {
  readonly key: string;
  readonly winner: ObjectRef;
}

function conflictKey(listener: string, route: string): string {
  return `${listener}|${route}`;
}

/** The conflicts of all listeners. One without GRPCRoutes costs nothing. */
export function hostConflicts(g: Graph, http: Candidates, grpc: Candidates): Collection<Conflict> {
  const withGrpc = group(g, { name: 'GRPCRoutesByListener' }, grpc.byListener);
  return flatMap(g, withGrpc, { name: 'RouteConflicts', key: (c: Conflict) => c.key }, (ctx, { key, items }) =>
    losersOf(key, [...items, ...ctx.fetch(http.candidates, { index: http.byListener, is: key })]),
  );
}

function losersOf(listener: string, routes: readonly RouteParents[]): readonly Conflict[] {
  const accepted: { readonly route: RouteParents; readonly hosts: readonly string[] }[] = [];
  const losers: Conflict[] = [];
  for (const route of routes.toSorted((a, b) => compareOrder(a.order, b.order))) {
    const hosts = hostsOn(listener, route);
    const winner = accepted.find((a) => a.route.ref.kind !== route.ref.kind && a.hosts.some((x) => hosts.some((y) => intersect(x, y))));
    if (winner) losers.push({ key: conflictKey(listener, route.key), winner: winner.route.ref });
    else accepted.push({ route, hosts });
  }
  return losers;
}

function hostsOn(listener: string, route: RouteParents): readonly string[] {
  return route.parents.flatMap((p) => p.listeners.filter((l) => attachedKey(p.gateway, l) === listener).flatMap((l) => l.hosts));
}

/** The route without the listeners that it loses; a parent that has none left refuses it. */
export function withoutConflicts(ctx: Ctx, conflicts: Collection<Conflict>, route: RouteParents): RouteParents {
  return { ...route, parents: route.parents.map((parent) => settle(ctx, conflicts, route, parent)) };
}

function settle(ctx: Ctx, conflicts: Collection<Conflict>, route: RouteParents, parent: ParentAttachment): ParentAttachment {
  const lost = parent.listeners.flatMap((l) => {
    const conflict = ctx.fetchOne(conflicts, conflictKey(attachedKey(parent.gateway, l), route.key));
    return conflict ? [{ listener: l, winner: conflict.winner }] : [];
  });
  const [first] = lost;
  if (!first) return parent;
  const listeners = parent.listeners.filter((l) => !lost.some((x) => x.listener === l));
  if (listeners.length > 0) return { ...parent, listeners };
  const why = `${describeRef(first.winner)}, which is older, has these hostnames on ${first.listener.listener === undefined ? `port ${first.listener.entry.port}` : `listener ${first.listener.listener}`} of Gateway ${parent.gateway}, and HTTPRoutes and GRPCRoutes cannot share one; use another hostname or listener`;
  return { ...parent, listeners, acceptance: condition.hostnameConflict(why) };
}

/** Routes for HTTP, by `scope|chain` of the ports of Services that speak HTTP because they say so. */
export interface HttpRoutesOfServices {
  readonly parents: Collection<RouteParents>;
  readonly byDeclaredChain: Index<RouteParents>;
}

/** A TLSRoute or TCPRoute without the ports of Services that routes for HTTP have. */
export function besideHttp(ctx: Ctx, { parents, byDeclaredChain }: HttpRoutesOfServices, route: RouteParents): RouteParents {
  if (route.parents.every((p) => p.listeners.every((l) => l.listener !== undefined))) return route;
  const settled = route.parents.map((parent): ParentAttachment => {
    const lost = parent.listeners.flatMap((listener) => {
      if (listener.listener !== undefined) return [];
      const [winner] = ctx.fetch(parents, { index: byDeclaredChain, is: `${parent.gateway}|${listener.chain}` });
      return winner ? [{ listener, winner }] : [];
    });
    const [first] = lost;
    if (!first) return parent;
    const listeners = parent.listeners.filter((l) => !lost.some((x) => x.listener === l));
    if (listeners.length > 0) return { ...parent, listeners };
    const why = `Port ${first.listener.entry.port} speaks HTTP, since ${describeRef(first.winner.ref)} names it; remove one of the two routes`;
    return { ...parent, listeners, acceptance: condition.noMatchingParent(why) };
  });
  return { ...route, parents: settled };
}
