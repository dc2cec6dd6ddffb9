/**
 * TLSRoutes, TCPRoutes and UDPRoutes: a rule is its backends.
 *
 *   [RouteParents] + [RouteRules] -> L4Binding, one a host of a listener -> TcpChain or UdpListener, of the oldest route
 */
import { compareOrder } from '../ir/precedence.ts';
import type { ObjectRef } from '../ir/object-ref.ts';
import type { RouteOrder } from '../ir/route.ts';
import type { TcpBackend } from '../ir/tcp.ts';
import type { Collection, Ctx } from '../krt/index.ts';
import type { L4RouteRule } from '../kube/types/gateway-api.ts';
import { resolveBackend } from './backendref.ts';
import { passthroughCluster } from './backendtlspolicy.ts';
import type { GrantSubject } from './referencegrant.ts';
import type { RouteParents, RouteRules } from './route.ts';
import type { RuleInputs, RuleOutcome } from './route-rule.ts';

export interface L4Rule extends RuleOutcome {
  /** In the order of the backendRefs; those of weight 0 are left out. */
  readonly backends: readonly TcpBackend[];
}

/** Translates a rule of a TLSRoute, TCPRoute or UDPRoute. */
export function translateL4Rule(ctx: Ctx, inputs: RuleInputs, from: GrantSubject, rule: L4RouteRule): L4Rule {
  const resolved = rule.backendRefs.map((ref) => {
    const backend = resolveBackend(ctx, inputs, from, ref);
    const bare = backend.ok && from.kind === 'TLSRoute' ? passthroughCluster(ctx, inputs.backendTls, backend.cluster) : undefined;
    const passthrough = backend.ok && bare !== backend.cluster ? bare : undefined;
    return { weight: ref.weight ?? 1, backend, ...(passthrough && { passthrough }) };
  });
  return {
    backends: resolved
      .filter(({ weight }) => weight > 0)
      .map(({ weight, backend, passthrough }) => ({
        weight,
        ...(backend.ok && { cluster: backend.cluster.name }),
        ...(passthrough && { passthrough: passthrough.name }),
      })),
    clusters: resolved.flatMap(({ backend, passthrough = [] }) => (backend.ok ? [backend.cluster].concat(passthrough) : [])),
    unresolved: resolved.flatMap(({ backend }) => (backend.ok ? [] : [{ reason: backend.reason, message: backend.message }])),
    dropped: [],
    replaced: [],
  };
}

/** A route on one host of one listener; `*` where the protocol has no hosts. */
export interface L4Binding {
  readonly scope: string;
  readonly chain: string;
  readonly host: string;
  readonly order: RouteOrder;
  readonly route: ObjectRef;
  readonly backends: readonly TcpBackend[];
}

/** Key of a binding in collections. */
export function bindingKey(b: L4Binding): string {
  return `${b.scope}|${b.chain}|${b.host}|${b.route.kind}/${b.order.key}`;
}

/** Where a route serves. Only its first rule counts, as the kinds have one (Gateway API: TCPRouteSpec.rules). */
export function bindRoute(ctx: Ctx, rules: Collection<RouteRules<L4Rule>>, route: RouteParents): readonly L4Binding[] {
  const backends = ctx.fetchOne(rules, route.key)?.rules[0]?.backends ?? [];
  const bindings = route.parents.flatMap((parent) =>
    parent.listeners
      .filter((l) => l.valid)
      .flatMap((l) =>
        l.hosts.map((host) => ({ scope: parent.gateway, chain: l.chain, host, order: route.order, route: route.ref, backends })),
      ),
  );
  return [...new Map(bindings.map((b) => [bindingKey(b), b])).values()];
}

/** The binding that serves each host: of the oldest route (Gateway API: conflict resolution). */
export function servingBindings(bindings: readonly L4Binding[]): readonly L4Binding[] {
  const byHost = new Map<string, L4Binding>();
  for (const b of bindings.toSorted((x, y) => compareOrder(x.order, y.order))) if (!byHost.has(b.host)) byHost.set(b.host, b);
  return [...byHost.values()];
}
