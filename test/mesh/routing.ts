/**
 * Which connections go to a waypoint, for the double of ztunnel:
 *
 *   what istiod publishes ─> publishedRouting ┐
 *   labels of Services, where there is none ──┴> Routing: Service ports with their waypoints, and where a waypoint takes connections
 */
import type { Namespace, Pod, Service } from '../../src/kube/types/core.ts';
import type { Capture, Via } from './agent.ts';
import { identityOf } from './identities.ts';
import type { MeshWorkload, WaypointAddress, WorkloadDiscovery } from './workload-discovery.ts';

export interface Routing {
  readonly captures: readonly Capture[];
  /** Of the Pod of a waypoint, by its address: the port on loopback to which its ztunnel passes connections on with a PROXY header. */
  readonly proxyPortOf: (address: string) => number | undefined;
}

/** Whether a Pod, if it is captured, has a ztunnel that listens by now; the real one does so before the Pod's containers start. */
export type TakesHbone = (address: string) => boolean;

const tunnelPort = 15_008;
const proxyPort = 15_088;
/** Of the Pods that tests dial; ztunnel takes every port of a workload. */
const workloadPorts = [8080, 9090];
const classLabel = 'gateway.networking.k8s.io/gateway-class-name';
const gatewayNameLabel = 'gateway.networking.k8s.io/gateway-name';
const useWaypoint = 'istio.io/use-waypoint';
/** With its weight: labels and annotation of a Service; those of namespaces are not read. */
const canary = 'istio.io/use-waypoint-canary';

/** As ztunnel does: a Service whose waypoint has nobody who takes connections is not reached at all. */
export function publishedRouting(published: WorkloadDiscovery, takesHbone: TakesHbone): Routing {
  const all = published.workloads();
  const at = new Map(all.flatMap((w) => w.addresses.map((address) => [address, w] as const)));
  const members = new Map<string, MeshWorkload[]>();
  for (const w of all) for (const key of w.services) members.set(key, [...(members.get(key) ?? []), w]);
  const viaOf = ({ service, address, port }: WaypointAddress): readonly Via[] => {
    const found = service === undefined ? [at.get(address ?? '') ?? []].flat() : (members.get(service) ?? []);
    return found
      .filter((w) => w.healthy)
      .map((w) => ({ address: w.addresses[0] ?? '', port, identities: [w.identity] }))
      .filter((v) => takesHbone(v.address));
  };
  const ofWorkloads = all.flatMap(({ addresses, waypoint }) => {
    const via = waypoint ? viaOf(waypoint) : undefined;
    return via ? addresses.flatMap((address) => workloadPorts.map((port) => ({ address, port, via }))) : [];
  });
  return {
    captures: published
      .services()
      .filter((s) => s.waypoints.length > 0)
      .flatMap(({ addresses, ports, waypoints: [first, second] }) => {
        const [a, b] = [first ? viaOf(first) : [], second ? viaOf(second) : []];
        const via = second ? weighted(a, b, second.weight) : a;
        return addresses.flatMap((address) => ports.map((port) => ({ address, port, via })));
      })
      .concat(ofWorkloads),
    proxyPortOf: (address) => {
      const tunnel = at.get(address)?.applicationTunnel;
      return tunnel?.protocol === 'proxy' ? tunnel.port : undefined;
    },
  };
}

/** Without a waypoint that is ready, a Service is reached directly. */
export function labelRouting(
  pods: readonly Pod[],
  namespaces: readonly Namespace[],
  services: readonly Service[],
  takesHbone: TakesHbone,
): Routing {
  const waypoints = new Map<string, Via[]>();
  const addresses = new Set<string>();
  for (const pod of pods) {
    const address = pod.status?.podIP;
    const { namespace = '', labels = {}, deletionTimestamp } = pod.metadata;
    if (pod.status?.phase !== 'Running' || !address || labels[classLabel]?.includes('waypoint') !== true) continue;
    addresses.add(address);
    const ready = pod.status.conditions?.some((c) => c.type === 'Ready' && c.status === 'True');
    if (!ready || !takesHbone(address) || deletionTimestamp) continue;
    const key = `${namespace}/${labels[gatewayNameLabel]}`;
    const via = { address, port: tunnelPort, identities: [identityOf(namespace, pod.spec.serviceAccountName ?? 'default')] };
    waypoints.set(key, [...(waypoints.get(key) ?? []), via]);
  }
  const labelsOf = new Map(namespaces.map((n) => [n.metadata.name, n.metadata.labels ?? {}]));
  return {
    captures: services.flatMap((s) => capturesOf(s, labelsOf.get(s.metadata.namespace ?? '') ?? {}, waypoints)),
    proxyPortOf: (address) => (addresses.has(address) ? proxyPort : undefined),
  };
}

function capturesOf(service: Service, ofNamespace: Record<string, string>, waypoints: ReadonlyMap<string, readonly Via[]>): Capture[] {
  const { namespace = '', labels = {}, annotations = {} } = service.metadata;
  const from = labels[useWaypoint] === undefined ? ofNamespace : labels;
  const name = from[useWaypoint];
  const address = service.spec.clusterIP;
  if (name === undefined || name === 'none' || !address || address === 'None') return [];
  const primary = waypoints.get(`${from[`${useWaypoint}-namespace`] ?? namespace}/${name}`);
  if (!primary) return [];
  const second = waypoints.get(`${labels[`${canary}-namespace`] ?? namespace}/${labels[canary]}`);
  const via = second ? weighted(primary, second, Number(annotations[`${canary}-weight`] ?? 0)) : primary;
  return (service.spec.ports ?? []).filter((p) => (p.protocol ?? 'TCP') === 'TCP').map(({ port }) => ({ address, port, via }));
}

/** Connections take these in turn: `percent` of them go to the second waypoint, in steps of five. */
function weighted(first: readonly Via[], second: readonly Via[], percent: number): readonly Via[] {
  const share = Math.round(percent / 5);
  return Array.from({ length: 20 * Math.max(first.length, 1) * Math.max(second.length, 1) }, (_, i) => {
    const side = (i * share) % 20 < share ? second : first;
    return side[Math.floor(i / 20) % side.length];
  }).filter((v) => v !== undefined);
}
