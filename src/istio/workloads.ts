/**
 * Workloads of the mesh, and the endpoints that they are of ServiceEntries.
 *
 *   Pod, WorkloadEntry ─> MeshPod ─┬─> bound to waypoints by their own address
 *                                  └─> endpoints of ServiceEntries that select them
 */
import ipaddr from 'ipaddr.js';
import type { Endpoint } from '../ir/backend.ts';
import { type MeshPort, type MeshService, type MeshWorkload, endpointOn } from '../ir/mesh.ts';
import type { Locality } from '../ir/locality.ts';
import { compareText } from '../ir/precedence.ts';
import { type Collection, type Ctx, type Graph, type Index, join, map } from '../krt/index.ts';
import type { Pod } from '../kube/types/core.ts';
import type { WorkloadEntry } from '../kube/types/istio-networking.ts';
import { entryPlace, isReachable } from './serviceentry.ts';
import type { WaypointLabels } from './services.ts';
import { waypointLabels } from './services.ts';

/** A workload with what selects it and what decides its waypoint. */
export interface LabelledWorkload {
  readonly workload: MeshWorkload;
  readonly labels: Readonly<Record<string, string>>;
  readonly waypoint: WaypointLabels;
  /** Port by name: of its containers, or of the WorkloadEntry. */
  readonly ports: Readonly<Record<string, number>>;
  readonly ready: boolean;
  /** Of a WorkloadEntry. */
  readonly at?: Locality;
  /** Of a Pod. */
  readonly node?: string;
  readonly weight?: number;
}

export interface WorkloadInputs {
  readonly pods: Collection<Pod>;
  readonly workloadEntries: Collection<WorkloadEntry>;
}

/** All workloads of the mesh. */
export interface Workloads {
  readonly collection: Collection<LabelledWorkload>;
  readonly byNamespace: Index<LabelledWorkload>;
  readonly byAddress: Index<LabelledWorkload>;
}

/** Slim views: a change of a Pod that nobody reads, such as a container's state, goes no further. */
export function workloadsOf(g: Graph, inputs: WorkloadInputs): Workloads {
  const key = (w: LabelledWorkload): string => w.workload.key;
  const pods = map(g, inputs.pods, { name: 'PodWorkloads', key }, (_ctx, pod) => podWorkload(pod));
  const entries = map(g, inputs.workloadEntries, { name: 'EntryWorkloads', key }, (_ctx, entry) => entryWorkload(entry));
  const collection = join(g, { name: 'Workloads' }, [pods, entries]);
  return {
    collection,
    byNamespace: collection.index('namespace', (w) => [w.workload.namespace]),
    byAddress: collection.index('address', (w) => w.workload.addresses),
  };
}

/** Undefined for a Pod that has ended or has no address yet. */
function podWorkload(pod: Pod): LabelledWorkload | undefined {
  const { name, namespace = '', labels = {}, deletionTimestamp } = pod.metadata;
  const addresses = (pod.status?.podIPs ?? []).map((p) => p.ip);
  const { phase } = pod.status ?? {};
  if (addresses.length === 0 || phase === 'Succeeded' || phase === 'Failed') return undefined;
  const named = pod.spec.containers.flatMap((c) => c.ports ?? []).filter((p) => p.name !== undefined);
  return {
    workload: {
      key: `Pod/${namespace}/${name}`,
      kind: 'Pod',
      namespace,
      name,
      addresses,
      origin: { group: '', kind: 'Pod', namespace, name },
    },
    labels,
    ...(pod.spec.nodeName !== undefined && { node: pod.spec.nodeName }),
    waypoint: waypointLabels(pod),
    ports: Object.fromEntries(named.map((p) => [p.name, p.containerPort])),
    ready: deletionTimestamp === undefined && pod.status?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True') === true,
  };
}

/** Undefined for a WorkloadEntry without an IP address: nobody can dial it. */
function entryWorkload(entry: WorkloadEntry): LabelledWorkload | undefined {
  const { name, namespace = '' } = entry.metadata;
  const { address: written } = entry.spec;
  if (written === undefined || !isReachable(written)) return undefined;
  // As Pods have it: an address that is written in another way is no other one.
  const address = ipaddr.process(written).toString();
  const at = entryPlace(entry.spec.locality, undefined);
  return {
    workload: {
      key: `WorkloadEntry/${namespace}/${name}`,
      kind: 'WorkloadEntry',
      namespace,
      name,
      addresses: [address],
      origin: { group: 'networking.istio.io', kind: 'WorkloadEntry', namespace, name },
    },
    labels: { ...entry.metadata.labels, ...entry.spec.labels },
    waypoint: waypointLabels(entry),
    ports: entry.spec.ports ?? {},
    ready: true,
    ...(at && { at }),
    ...(entry.spec.weight !== undefined && { weight: entry.spec.weight }),
  };
}

/** The endpoints of a port of a ServiceEntry whose addresses are known: sorted, each once. */
export function serviceEntryEndpoints(ctx: Ctx, workloads: Workloads, service: MeshService, port: MeshPort): readonly Endpoint[] {
  const found = ((): readonly Endpoint[] => {
    const source = service.endpoints;
    switch (source.from) {
      case 'static':
        return source.endpoints.map((e) => endpointOn(e, port));
      case 'workloads': {
        const wanted = Object.entries(source.labels);
        return ctx
          .fetch(workloads.collection, {
            index: workloads.byNamespace,
            is: source.namespace,
            where: (w) => w.ready && wanted.every(([k, v]) => w.labels[k] === v),
          })
          .flatMap((w) => w.workload.addresses.slice(0, 1).map((address) => endpointOn({ ...w, address }, port)));
      }
      default:
        return [];
    }
  })();
  const byAddress = new Map(found.map((e) => [`${e.address}:${e.port}`, e]));
  return [...byAddress].toSorted(([a], [b]) => compareText(a, b)).map(([, e]) => e);
}
