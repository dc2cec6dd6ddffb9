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
import type { ConditionIntent } from '../ir/report.ts';
import { type Collection, type Ctx, type Graph, type Index, flatMap, group } from '../krt/index.ts';
import type { AttachedListener, ParentAttachment } from './attachment.ts';
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
  const settled = route.parents.map((parent) => {
    const winnerOf = (l: AttachedListener): ObjectRef | undefined =>
      ctx.fetchOne(conflicts, conflictKey(attachedKey(parent.gateway, l), route.key))?.winner;
    return withoutLost(parent, winnerOf, ({ listener, entry }, winner) => {
      const place = listener === undefined ? `port ${entry.port}` : `listener ${listener}`;
      const why = `${describeRef(winner)}, which is older, has these hostnames on ${place} of Gateway ${parent.gateway}, and HTTPRoutes and GRPCRoutes cannot share one; use another hostname or listener`;
      return condition.hostnameConflict(why);
    });
  });
  return { ...route, parents: settled };
}

function withoutLost(
  parent: ParentAttachment,
  winnerOf: (l: AttachedListener) => ObjectRef | undefined,
  refusal: (l: AttachedListener, winner: ObjectRef) => ConditionIntent,
): ParentAttachment {
  const lost = parent.listeners.flatMap((listener) => {
    const winner = winnerOf(listener);
    return winner ? [{ listener, winner }] : [];
  });
  const [first] = lost;
  if (!first) return parent;
  const listeners = parent.listeners.filter((l) => !lost.some((x) => x.listener === l));
  return { ...parent, listeners, ...(listeners.length === 0 && { acceptance: refusal(first.listener, first.winner) }) };
}

/** Routes for HTTP, by `scope|chain` of the ports of Services that speak HTTP because they say so. */
export interface HttpRoutesOfServices {
  readonly parents: Collection<RouteParents>;
  readonly byDeclaredChain: Index<RouteParents>;
}

/** A TLSRoute or TCPRoute without the ports of Services that routes for HTTP have. */
export function besideHttp(ctx: Ctx, { parents, byDeclaredChain }: HttpRoutesOfServices, route: RouteParents): RouteParents {
  if (route.parents.every((p) => p.listeners.every((l) => l.listener !== undefined))) return route;
  const settled = route.parents.map((parent) => {
    const winnerOf = ({ listener, chain }: AttachedListener): ObjectRef | undefined =>
      listener === undefined ? ctx.fetch(parents, { index: byDeclaredChain, is: `${parent.gateway}|${chain}` })[0]?.ref : undefined;
    return withoutLost(parent, winnerOf, ({ entry }, winner) =>
      condition.noMatchingParent(`Port ${entry.port} speaks HTTP, since ${describeRef(winner)} names it; remove one of the two routes`),
    );
  });
  return { ...route, parents: settled };
}
