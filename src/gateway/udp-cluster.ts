/**
 * Envoy's UDP proxy sends to one cluster. A route with several backends gets one over all of them, each with its weight.
 *
 *   [UDPRoute] -> one backend: the cluster of its Service; several: SharedCluster
 *
 * A share without a Service to go to, or without endpoints, is dropped, and not given to the others (Gateway API: UDPRouteRule.backendRefs).
 */
import type { ObjectRef } from '../ir/object-ref.ts';
import type { ClusterShare, SharedCluster } from '../ir/tcp.ts';
import type { L4Binding, L4Rule } from './l4route.ts';
import type { RouteRules } from './route.ts';

function sharedName(route: ObjectRef): string {
  return `udproute|${route.namespace}|${route.name}`;
}

/** Name of the cluster that a route's datagrams go to; undefined when there is none. */
export function udpCluster({ backends, route }: Pick<L4Binding, 'backends' | 'route'>): string | undefined {
  if (backends.every((b) => b.cluster === undefined)) return undefined;
  const [only, ...others] = backends;
  return others.length === 0 ? only?.cluster : sharedName(route);
}

/** The cluster over all backends of a route, when it needs one. */
export function sharedCluster(rules: RouteRules<L4Rule>): SharedCluster | undefined {
  const [rule] = rules.rules;
  if (!rule || udpCluster({ backends: rule.backends, route: rules.ref }) !== sharedName(rules.ref)) return undefined;
  const { namespace, name } = rules.ref;
  return {
    name: sharedName(rules.ref),
    statName: `udproute_${namespace}_${name}`,
    shares: rule.backends.map(({ cluster, weight }): ClusterShare => {
      const target = rule.clusters.find((c) => c.name === cluster);
      return { weight, ...(target && { service: { key: target.service, portName: target.portName } }) };
    }),
    origin: rules.ref,
  };
}
