/**
 * An HTTPRoute and a GRPCRoute cannot share a host of a listener: the older one has it.
 * Source: Gateway API, GRPCRouteSpec.hostnames.
 *
 *   [route on a listener] -> routes of the other kind, by host -> the oldest one that is older and does not lose the host itself
 *
 * A port of a Service that declares nothing speaks HTTP once an HTTPRoute or GRPCRoute names it; a TLSRoute or TCPRoute then cannot (GEP-1294).
 */
import { type ObjectRef, describeRef } from '../ir/object-ref.ts';
import { compareOrder, compareText } from '../ir/precedence.ts';
import type { ConditionIntent } from '../ir/report.ts';
import type { Collection, Ctx, Index } from '../krt/index.ts';
import type { AttachedListener, ParentAttachment } from './attachment.ts';
import { route as condition } from './conditions.ts';
import { wildcardsAbove } from './hostname.ts';
import type { RouteParents } from './route.ts';
import { attachedKey } from './status.ts';

/** HTTPRoutes and GRPCRoutes where they attach by themselves, found by the hosts that they have on listeners. */
export interface HttpRoutes {
  readonly http: RoutesByHost;
  readonly grpc: RoutesByHost;
}

interface RoutesByHost {
  readonly routes: Collection<RouteParents>;
  readonly byHost: Index<RouteParents>;
}

/** Indexes them. */
export function routesByHost(routes: Collection<RouteParents>): RoutesByHost {
  return { routes, byHost: routes.index('host', hostKeys) };
}

const hostKey = (listener: string, host: string): string => `${listener}|${host}`;
/** Of routes with a host that the wildcard covers. */
const coveredKey = (listener: string, wildcard: string): string => `${listener}|below ${wildcard}`;

function hostKeys({ parents }: RouteParents): readonly string[] {
  const keys = parents.flatMap((p) =>
    p.listeners.flatMap((l) => {
      const listener = attachedKey(p.gateway, l);
      return l.hosts.flatMap((host) => [hostKey(listener, host), ...wildcardsAbove(host).map((w) => coveredKey(listener, w))]);
    }),
  );
  return [...new Set(keys)];
}

/** The routes whose hosts meet one of these on the listener. */
function meeting(ctx: Ctx, { routes, byHost }: RoutesByHost, listener: string, hosts: readonly string[]): readonly RouteParents[] {
  const keys = hosts.flatMap((host) => [
    hostKey(listener, host),
    ...wildcardsAbove(host).map((w) => hostKey(listener, w)),
    ...(host.startsWith('*') ? [coveredKey(listener, host)] : []),
  ]);
  return [...new Set(keys)].flatMap((is) => ctx.fetch(routes, { index: byHost, is }));
}

function hostsOn(listener: string, route: RouteParents): readonly string[] {
  return route.parents.flatMap((p) => p.listeners.filter((l) => attachedKey(p.gateway, l) === listener).flatMap((l) => l.hosts));
}

/** Older first; of one age, by name; of one name, the GRPCRoute. */
function compareAge(a: RouteParents, b: RouteParents): number {
  return compareOrder(a.order, b.order) || compareText(a.ref.kind, b.ref.kind);
}

/** Finds the oldest route of the other kind that has hosts of a route on a listener, and that loses them to no older one itself. */
function winners(ctx: Ctx, { http, grpc }: HttpRoutes): (listener: string, route: RouteParents) => RouteParents | undefined {
  const known = new Map<string, RouteParents | undefined>();
  const winner = (listener: string, route: RouteParents): RouteParents | undefined => {
    const key = `${listener}|${route.key}`;
    if (known.has(key)) return known.get(key);
    const others = meeting(ctx, route.ref.kind === 'HTTPRoute' ? grpc : http, listener, hostsOn(listener, route));
    const older = others.filter((other) => compareAge(other, route) < 0).toSorted(compareAge);
    const found = older.find((other) => !winner(listener, other));
    known.set(key, found);
    return found;
  };
  return winner;
}

/** The route without the listeners that it loses; a parent that has none left refuses it. */
export function withoutConflicts(ctx: Ctx, routes: HttpRoutes, route: RouteParents): RouteParents {
  const winner = winners(ctx, routes);
  const settled = route.parents.map((parent) => {
    const winnerOf = (l: AttachedListener): ObjectRef | undefined => winner(attachedKey(parent.gateway, l), route)?.ref;
    return withoutLost(parent, winnerOf, ({ listener, entry }, to) => {
      const place = listener === undefined ? `port ${entry.port}` : `listener ${listener}`;
      const why = `${describeRef(to)}, which is older, has these hostnames on ${place} of Gateway ${parent.gateway}, and HTTPRoutes and GRPCRoutes cannot share one; use another hostname or listener`;
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
