/**
 * TLS, TCP and UDP as collections.
 *
 *   RouteParents + RouteRules of TLSRoute, TCPRoute, UDPRoute ─> L4Bindings ─┬─> ClusterUses
 *   Gateways ────────────────────────────────────────────────────────────────┴─> ProxyListeners, UdpListeners
 *   RouteRules of UDPRoute ─> SharedClusters
 */
import type { ProxyListener } from '../ir/listener.ts';
import type { SharedCluster, UdpListener } from '../ir/tcp.ts';
import { type Collection, type Ctx, type Graph, flatMap, map } from '../krt/index.ts';
import type { GatewayView } from './gateway.ts';
import { type L4Binding, type L4Rule, bindRoute, bindingKey } from './l4route.ts';
import { type BindingsOf, proxyListeners, udpListeners } from './proxy-listener.ts';
import type { RouteParents, RouteRules } from './route.ts';
import type { ClusterUse } from './served-route.ts';
import { sharedCluster, udpCluster } from './udp-cluster.ts';

export interface L4 {
  readonly listeners: Collection<ProxyListener>;
  readonly udpListeners: Collection<UdpListener>;
  readonly sharedClusters: Collection<SharedCluster>;
  readonly uses: Collection<ClusterUse>;
  /** What routes lead to from a chain of the proxies `scope`. */
  readonly bindingsAt: BindingsAt;
}

/** Finds the bindings of a chain. */
export type BindingsAt = (ctx: Ctx, scope: string, chain: string) => readonly L4Binding[];

/** Builds the collections. */
export function l4Collections(
  g: Graph,
  gateways: Collection<GatewayView>,
  rules: Collection<RouteRules<L4Rule>>,
  parents: Collection<RouteParents>,
): L4 {
  const bindings = flatMap(g, parents, { name: 'L4Bindings', key: bindingKey }, (ctx, route) => bindRoute(ctx, rules, route));
  const byChain = bindings.index('chain', (b) => [`${b.scope}|${b.chain}`]);
  const bindingsAt: BindingsAt = (ctx, scope, chain) => ctx.fetch(bindings, { index: byChain, is: `${scope}|${chain}` });
  const bindingsIn =
    (ctx: Ctx, view: GatewayView): BindingsOf =>
    (chain) =>
      bindingsAt(ctx, view.key, chain);

  const key = (l: { readonly scope: string; readonly name: string }): string => `${l.scope}|${l.name}`;
  return {
    listeners: flatMap(g, gateways, { name: 'ProxyListeners', key }, (ctx, view) => proxyListeners(view, bindingsIn(ctx, view))),
    udpListeners: flatMap(g, gateways, { name: 'UdpListeners', key }, (ctx, view) => udpListeners(view, bindingsIn(ctx, view))),
    sharedClusters: map(g, rules, { name: 'SharedClusters', key: (c: SharedCluster) => c.name }, (_ctx, route) =>
      route.ref.kind === 'UDPRoute' ? sharedCluster(route) : undefined,
    ),
    bindingsAt,
    uses: flatMap(g, bindings, { name: 'L4ClusterUses', key: (u: ClusterUse) => `${u.cluster}|${u.route}` }, (_ctx, b) => usesOf(b)),
  };
}

function usesOf(binding: L4Binding): readonly ClusterUse[] {
  const use = (cluster: string): ClusterUse => ({ scope: binding.scope, cluster, route: bindingKey(binding) });
  if (binding.route.kind === 'UDPRoute') {
    const cluster = udpCluster(binding);
    return cluster === undefined ? [] : [use(cluster)];
  }
  return [...new Set(binding.backends.flatMap((b) => [b.cluster ?? [], b.passthrough ?? []].flat()))].map(use);
}
