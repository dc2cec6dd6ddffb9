/**
 * Workloads that waypoints of ours serve under their own addresses.
 *
 *   BoundWorkloads ──┐
 *   Pods ────────────┼─> ServedWorkloads: addresses, who has to be there, ports of which somebody says what they speak
 *   EndpointSlices ──┘
 *
 * Nothing else is dialled for a client that asks for an address, so an address is left out in case of doubt.
 */
import { workloadOf } from '../gateway/endpoints.ts';
import type { BoundWorkload, MeshProtocol } from '../ir/mesh.ts';
import { isReservedAddress } from '../ir/reserved-address.ts';
import type { ServedWorkload, WorkloadMember } from '../ir/waypoint.ts';
import { servicePortProtocol } from '../istio/protocol.ts';
import type { LabelledWorkload, Workloads } from '../istio/workloads.ts';
import { type Collection, type Ctx, type Graph, type Index, map } from '../krt/index.ts';
import type { EndpointSlice, Pod } from '../kube/types/core.ts';
import { hboneWorkload } from './senders.ts';

export interface ServedWorkloadInputs {
  readonly boundWorkloads: Collection<BoundWorkload>;
  readonly workloads: Workloads;
  readonly pods: Collection<Pod>;
  readonly endpointSlices: Collection<EndpointSlice>;
}

/** Builds the collection. */
export function servedWorkloads(g: Graph, inputs: ServedWorkloadInputs): Collection<ServedWorkload> {
  const { boundWorkloads, workloads, pods, endpointSlices } = inputs;
  const { byAddress } = workloads;
  const slicesByAddress = endpointSlices.index('address', (s) => [...new Set((s.endpoints ?? []).flatMap((e) => e.addresses))]);
  return map(g, boundWorkloads, { name: 'ServedWorkloads' }, (ctx, { key, waypoint, workload }): ServedWorkload | undefined => {
    const { kind, namespace, name } = workload;
    const pod = kind === 'Pod' ? ctx.fetchOne(pods, `${namespace}/${name}`) : undefined;
    // Its address is that of a node, where other things listen, and ztunnel brings nothing for it.
    if (pod?.spec.hostNetwork) return undefined;
    // Whoever may write a WorkloadEntry may not speak for a Pod, nor lead a proxy to itself.
    const isFree = (address: string): boolean =>
      kind === 'Pod' || !ctx.fetch(byAddress.collection, { index: byAddress, is: address }).some((w) => w.workload.kind === 'Pod');
    const own = kind === 'Pod' ? undefined : ctx.fetchOne(workloads.collection, workload.key);
    const members = workload.addresses
      .filter((address) => !isReservedAddress(address) && isFree(address))
      .map((address) => ({ address, ports: declaredPorts(ctx, slicesByAddress, address, own) }));
    const account = pod && hboneWorkload(pod)?.serviceAccount;
    const deployment = kind === 'Pod' ? workloadOf(name) : name;
    return members.length > 0
      ? { key, waypoint, namespace, workload: deployment, ...(account !== undefined && { account }), members }
      : undefined;
  });
}

/** Ports that Services lead to at this address, by what those say; two that disagree say nothing. */
function declaredPorts(
  ctx: Ctx,
  slices: Index<EndpointSlice>,
  address: string,
  own: LabelledWorkload | undefined,
): WorkloadMember['ports'] {
  const said = new Map<number, Set<MeshProtocol>>();
  const say = (port: number | undefined, name: string | undefined, appProtocol?: string): void => {
    if (port === undefined) return;
    const protocol = servicePortProtocol({ port, ...(name !== undefined && { name }), ...(appProtocol !== undefined && { appProtocol }) });
    if (protocol !== 'auto') said.set(port, (said.get(port) ?? new Set()).add(protocol));
  };
  for (const slice of ctx.fetch(slices.collection, { index: slices, is: address })) {
    for (const p of slice.ports ?? []) if ((p.protocol ?? 'TCP') === 'TCP') say(p.port, p.name, p.appProtocol);
  }
  for (const [name, port] of Object.entries(own?.ports ?? {})) say(port, name);
  return [...said]
    .flatMap(([port, protocols]) => {
      const kinds = new Set([...protocols].map((p) => (p === 'tcp' || p === 'tls' ? 'tcp' : 'http')));
      const [protocol] = kinds;
      return protocol !== undefined && kinds.size === 1 ? [{ port, protocol } as const] : [];
    })
    .toSorted((a, b) => a.port - b.port);
}
