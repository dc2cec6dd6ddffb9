/**
 * Where endpoints are, for DestinationRules that care.
 *
 *   Nodes ─> NodePlaces, by name, by zone ─┐
 *   EndpointSlices: Nodes of endpoints ────┤
 *   Pods, WorkloadEntries, by address ─────┴─> localized(waypoint, policy, endpoints): each with its place and, if the policy compares them, its labels
 */
import type { GatewayApi } from '../gateway/collections.ts';
import { nodesOfService } from '../gateway/endpoints.ts';
import type { GatewayView } from '../gateway/gateway.ts';
import type { Endpoint } from '../ir/backend.ts';
import { type EndpointPlace, type Locality, type LocalityPolicy, topologyLabels } from '../ir/locality.ts';
import { type Collection, type Ctx, type Graph, type Index, map } from '../krt/index.ts';
import type { Node } from '../kube/types/core.ts';
import type { Workloads } from '../istio/workloads.ts';
import type { GatewayClusterInputs } from '../xds/translate/gateway-cluster.ts';

interface NodePlace extends Locality {
  readonly name: string;
}

/** Where a Node is, by the labels that cloud providers set, and Istio's of subzones. */
export function placeOfNode({ metadata: { labels = {} } }: Node): Locality {
  const [region, zone, subzone] = [labels[topologyLabels.region], labels[topologyLabels.zone], labels[topologyLabels.subzone]];
  return { ...(region !== undefined && { region }), ...(zone !== undefined && { zone }), ...(subzone !== undefined && { subzone }) };
}

/** Builds the collection. */
export function endpointPlaces(
  g: Graph,
  nodes: Collection<Node>,
  workloads: Workloads | undefined,
  { gateways, slices }: Pick<GatewayApi, 'gateways' | 'slices'>,
): GatewayClusterInputs['localized'] {
  // What kubelets write all the time goes no further.
  const places = map(g, nodes, { name: 'NodePlaces' }, (_ctx, node): NodePlace => ({ name: node.metadata.name, ...placeOfNode(node) }));
  const byZone = places.index('zone', (p) => (p.zone === undefined ? [] : [p.zone]));
  const byAddress = workloads?.byAddress;
  return (ctx, scope, policy, { service, endpoints }) => {
    const labels = comparesLabels(policy);
    const nodesOfSlices = service === '' ? undefined : nodesOfService(ctx, slices, service);
    const view = labels ? ctx.fetchOne(gateways, scope) : undefined;
    return {
      endpoints: endpoints.map((e) => {
        const [workload] =
          byAddress && (labels || !nodesOfSlices) ? ctx.fetch(byAddress.collection, { index: byAddress, is: e.address }) : [];
        const node = nodesOfSlices?.get(e.address) ?? workload?.node;
        return {
          ...e,
          at: { ...localityOf(ctx, places, byZone, e, node), ...(labels && { labels: { ...workload?.labels, ...e.at?.labels } }) },
        };
      }),
      locality: { policy, proxyLabels: view ? { ...view.labels, ...proxyLabels(view) } : {} },
    };
  };
}

const topology: ReadonlySet<string | undefined> = new Set(Object.values(topologyLabels));

/** Whether it takes more than places. */
function comparesLabels(policy: LocalityPolicy): boolean {
  return policy.by === 'failover' && policy.labels.some((l) => !topology.has(l.split('=')[0]));
}

/** Labels that every proxy has, besides those of `spec.infrastructure`. */
function proxyLabels({ ref, className }: GatewayView): Readonly<Record<string, string>> {
  return { 'gateway.networking.k8s.io/gateway-name': ref.name, 'gateway.networking.k8s.io/gateway-class-name': className };
}

/** As the ServiceEntry says, else as its Node says; the region of a zone is that of any Node in it. */
function localityOf(
  ctx: Ctx,
  places: Collection<NodePlace>,
  byZone: Index<NodePlace>,
  { at, zone }: Endpoint,
  node: string | undefined,
): EndpointPlace {
  if (at?.region !== undefined || at?.zone !== undefined) return at;
  const { name: _, ...own } = (node === undefined ? undefined : ctx.fetchOne(places, node)) ?? { name: '' };
  const known = { ...at, ...own, ...(zone !== undefined && { zone }), ...(node !== undefined && { node }) };
  if (known.region !== undefined || known.zone === undefined) return known;
  const region = ctx.fetch(places, { index: byZone, is: known.zone }).find((p) => p.region !== undefined)?.region;
  return region === undefined ? known : { ...known, region };
}
