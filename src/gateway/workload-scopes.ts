/**
 * What waypoints serve for workloads, which clients dial by their own addresses (`istio.io/waypoint-for: workload` or `all`).
 *
 *   ServedWorkloads ──> WorkloadGroups, by what they have in common ─> WaypointListeners
 *   routes and TrafficPolicies of the waypoint ─> one ServiceScope for all workloads, by how they are reached
 *
 * The address that a connection asks for is where it goes, so a Pod more is an address more in the listener, and nothing else.
 */
import { waypointChain, wildcardHost } from '../ir/names.ts';
import { compareText } from '../ir/precedence.ts';
import type { HostRoutes } from '../ir/route.ts';
import {
  type ServedWorkload,
  type ServiceScope,
  type WorkloadGroup,
  type Workloads,
  workloadPlace,
  workloadTunnelPlace,
} from '../ir/waypoint.ts';
import { type Collection, type Ctx, type Graph, type Index, flatMap } from '../krt/index.ts';
import { type DefaultRuleInputs, defaultRule } from './default-rule.ts';
import type { GatewayView } from './gateway.ts';

/** Places of workloads at a waypoint; a proxy that ends HBONE has to make the tunnels itself. */
function placesOf({ entrance }: GatewayView): readonly string[] {
  if (!entrance?.workloads) return [];
  return entrance.hbone ? [workloadPlace, workloadTunnelPlace] : [workloadPlace];
}

/** The scopes of workloads. */
export function workloadScopes(
  g: Graph,
  inputs: DefaultRuleInputs,
  routes: { readonly collection: Collection<HostRoutes>; readonly byChain: Index<HostRoutes> },
): Collection<ServiceScope> {
  const key = (s: ServiceScope): string => `${s.scope}|${s.address}`;
  return flatMap(g, inputs.gateways, { name: 'WorkloadScopes', key }, (ctx, view) =>
    placesOf(view).map((place): ServiceScope => {
      const byDefault = defaultRule(ctx, inputs, { scope: view.key, chain: place, port: 0, origin: view.ref, cluster: { name: place } });
      return {
        scope: view.key,
        address: place,
        port: 0,
        origin: view.ref,
        services: [{ host: wildcardHost, ofService: [], byDefault }],
        ofWaypoint: ctx.fetch(routes.collection, { index: routes.byChain, is: `${view.key}|${waypointChain}` }),
      };
    }),
  );
}

/** What the listener of a waypoint serves for workloads; undefined when it is for Services alone. */
export function workloadsAt(
  ctx: Ctx,
  view: GatewayView,
  served: Collection<ServedWorkload>,
  byWaypoint: Index<ServedWorkload>,
): Workloads | undefined {
  const places = placesOf(view);
  if (places.length === 0) return undefined;
  const tunnels = view.entrance?.hbone === true;
  const { key: scope, ref: origin } = view;
  return {
    places: places.map((address) => ({
      scope,
      address,
      port: 0,
      origin,
      detect: true,
      backends: [{ cluster: address, weight: 1 }],
      tls: [],
    })),
    groups: groupsOf(ctx.fetch(served, { index: byWaypoint, is: scope }), tunnels),
  };
}

/** Sorted, so that equal sets are equal. For a moment two workloads may have one address: then it is that of the first by name. */
function groupsOf(workloads: readonly ServedWorkload[], tunnels: boolean): readonly WorkloadGroup[] {
  const taken = new Set<string>();
  const groups = new Map<string, WorkloadGroup & { readonly members: WorkloadGroup['members'][number][] }>();
  for (const { namespace, workload, account, members } of workloads.toSorted((a, b) => compareText(a.key, b.key))) {
    const own = members.filter((m) => !taken.has(m.address));
    for (const { address } of own) taken.add(address);
    const key = `${namespace}/${workload}${tunnels && account !== undefined ? `/${account}` : ''}`;
    const group = groups.get(key);
    if (group) group.members.push(...own);
    else groups.set(key, { namespace, workload, ...(tunnels && account !== undefined && { account }), members: own });
  }
  return [...groups].toSorted(([a], [b]) => compareText(a, b)).map(([, group]) => group);
}
