/**
 * Routes of all kinds as collections. A kind is a source, its name, and how its rules are read.
 *
 *   HTTPRoute, GRPCRoute ──────────┬─> RouteRules ──────────────────┬───────────────┐
 *                                  └─> Candidates ──────────────────┴> RouteParents ┴─> ServedRoutes
 *                                          └─ HTTPRoutes that delegate ─┘    └─> FulfilledDelegations
 *   TLSRoute, TCPRoute, UDPRoute ────> RouteRules, RouteParents ─────────────────> L4Bindings (l4-collections.ts)
 */
import { type Collection, type Graph, type Index, count, join, map } from '../krt/index.ts';
import type { GRPCRoute, HTTPRoute, TCPRoute, TLSRoute, UDPRoute } from '../kube/types/gateway-api.ts';
import type { AttachmentInputs } from './attachment.ts';
import { withDelegations } from './delegated-attachment.ts';
import { type DelegationInputs, selectorsOfRefs } from './delegation.ts';
import { translateGrpcRule } from './grpcroute.ts';
import { translateHttpRule } from './httproute.ts';
import { type L4Rule, translateL4Rule } from './l4route.ts';
import {
  type RouteKindName,
  type RouteObject,
  type RouteParents,
  type RouteRules,
  type RuleTranslation,
  attachRoute,
  translateRules,
} from './route.ts';
import { besideHttp, routesByHost, withoutConflicts } from './route-conflict.ts';
import type { RuleInputs, RuleOutcome, TranslatedRule } from './route-rule.ts';

/** The sources of routes. */
export interface RouteInputs {
  readonly httpRoutes: Collection<HTTPRoute>;
  readonly grpcRoutes: Collection<GRPCRoute>;
  readonly tlsRoutes: Collection<TLSRoute>;
  readonly tcpRoutes: Collection<TCPRoute>;
  readonly udpRoutes: Collection<UDPRoute>;
  /** What Ingresses come to: HTTPRoutes that are no objects of a cluster, and have no status. */
  readonly ingressRoutes?: Collection<HTTPRoute>;
}

export interface Routes {
  /** Of HTTPRoutes and GRPCRoutes, by `kind/namespace/name` as all collections that hold several kinds. */
  readonly rules: Collection<RouteRules>;
  readonly parents: Collection<RouteParents>;
  /** References that delegate and have a child, by `fulfilmentKey`. */
  readonly fulfilled: Collection<{ readonly key: string }>;
  /** Of TLSRoutes, TCPRoutes and UDPRoutes. */
  readonly l4Rules: Collection<RouteRules<L4Rule>>;
  readonly l4Parents: Collection<RouteParents>;
  /** `parents` by `scope|chain` of the ports of Services where they serve. */
  readonly byDeclaredChain: Index<RouteParents>;
}

/** The sources with the names of their kinds. */
export function routeSources(inputs: RouteInputs): readonly { readonly kind: RouteKindName; readonly routes: Collection<RouteObject> }[] {
  return [
    { kind: 'HTTPRoute', routes: inputs.httpRoutes },
    { kind: 'GRPCRoute', routes: inputs.grpcRoutes },
    { kind: 'TLSRoute', routes: inputs.tlsRoutes },
    { kind: 'TCPRoute', routes: inputs.tcpRoutes },
    { kind: 'UDPRoute', routes: inputs.udpRoutes },
  ];
}

/** Builds the collections of routes. */
export function routeCollections(g: Graph, inputs: RouteInputs, backends: RuleInputs, attachment: AttachmentInputs): Routes {
  const http = rulesOf<HTTPRoute, TranslatedRule>(g, 'HTTPRoute', inputs.httpRoutes, backends, translateHttpRule);
  const grpc = rulesOf<GRPCRoute, TranslatedRule>(g, 'GRPCRoute', inputs.grpcRoutes, backends, translateGrpcRule);

  const ingress = inputs.ingressRoutes;
  const ofIngress = ingress && {
    rules: rulesOf<HTTPRoute, TranslatedRule>(g, 'HTTPRoute', ingress, backends, translateHttpRule, 'IngressRouteRules'),
    parents: map(g, ingress, { name: 'IngressRouteParents', key: (p: RouteParents) => p.key }, (ctx, route) =>
      attachRoute(ctx, attachment, 'HTTPRoute', route),
    ),
  };

  const ofHttp = candidatesOf(g, 'HTTPRoute', inputs.httpRoutes, attachment);
  const ofGrpc = candidatesOf(g, 'GRPCRoute', inputs.grpcRoutes, attachment);
  const rivals = { http: routesByHost(ofHttp), grpc: routesByHost(ofGrpc) };
  const delegation: DelegationInputs = {
    candidates: ofHttp,
    bySelector: ofHttp.index('delegates to', selectorsOfRefs),
    rules: http,
    settled: (ctx, route) => withoutConflicts(ctx, rivals, route).parents,
  };
  const settled = [
    map(g, ofHttp, { name: 'HTTPRouteParents' }, (ctx, route) => withDelegations(ctx, delegation, withoutConflicts(ctx, rivals, route))),
    map(g, ofGrpc, { name: 'GRPCRouteParents' }, (ctx, route) => withoutConflicts(ctx, rivals, route)),
  ] as const;
  const fulfilments = count(
    g,
    { name: 'ChildrenByDelegation' },
    settled[0].index('fulfils', (p) => [...new Set(p.parents.flatMap((a) => a.delegation?.fulfils ?? []))]),
  );

  const l4Rules = [
    rulesOf<TLSRoute, L4Rule>(g, 'TLSRoute', inputs.tlsRoutes, backends, translateL4Rule),
    rulesOf<TCPRoute, L4Rule>(g, 'TCPRoute', inputs.tcpRoutes, backends, translateL4Rule),
    rulesOf<UDPRoute, L4Rule>(g, 'UDPRoute', inputs.udpRoutes, backends, translateL4Rule),
  ];
  const parents = join(g, { name: 'RouteParents' }, [...settled, ...(ofIngress ? [ofIngress.parents] : [])]);
  const byDeclaredChain = parents.index('declared chain', declaredChainsOf);

  const l4Parents = (
    [
      ['TLSRoute', inputs.tlsRoutes],
      ['TCPRoute', inputs.tcpRoutes],
      ['UDPRoute', inputs.udpRoutes],
    ] as const
  ).map(([kind, sources]) =>
    map(g, candidatesOf(g, kind, sources, attachment), { name: `${kind}Parents` }, (ctx, route) =>
      besideHttp(ctx, { parents, byDeclaredChain }, route),
    ),
  );
  return {
    rules: join(g, { name: 'RouteRules' }, [http, grpc, ...(ofIngress ? [ofIngress.rules] : [])]),
    parents,
    byDeclaredChain,
    fulfilled: map(g, fulfilments, { name: 'FulfilledDelegations' }, (_ctx, { key }) => ({ key })),
    l4Rules: join(g, { name: 'L4RouteRules' }, l4Rules),
    l4Parents: join(g, { name: 'L4RouteParents' }, l4Parents),
  };
}

function rulesOf<R extends RouteObject, Outcome extends RuleOutcome>(
  g: Graph,
  kind: RouteKindName,
  routes: Collection<R>,
  backends: RuleInputs,
  translate: RuleTranslation<NonNullable<R['spec']['rules']>[number], Outcome>,
  name = `${kind}Rules`,
): Collection<RouteRules<Outcome>> {
  return map(g, routes, { name, key: (r: RouteRules<Outcome>) => r.key }, (ctx, route) =>
    translateRules(ctx, backends, kind, route, translate),
  );
}

function declaredChainsOf(route: RouteParents): readonly string[] {
  return [...new Set(route.parents.flatMap((p) => p.listeners.flatMap((l) => (l.declares ? [`${p.gateway}|${l.chain}`] : []))))];
}

/** Routes of a kind where they attach by themselves, whatever other kinds are there. */
function candidatesOf(
  g: Graph,
  kind: RouteKindName,
  routes: Collection<RouteObject>,
  attachment: AttachmentInputs,
): Collection<RouteParents> {
  return map(g, routes, { name: `${kind}Candidates`, key: (p: RouteParents) => p.key }, (ctx, route) =>
    attachRoute(ctx, attachment, kind, route),
  );
}
