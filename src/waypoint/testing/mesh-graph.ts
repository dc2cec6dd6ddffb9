/** The mesh part of the graph alone, over objects that a test gives it. */
import { Graph, source } from '../../krt/index.ts';
import type { EndpointSlice, Namespace, Pod, Service } from '../../kube/types/core.ts';
import type { Gateway, GatewayClass } from '../../kube/types/gateway-api.ts';
import type { ServiceEntry, WorkloadEntry } from '../../kube/types/istio-networking.ts';
import { type KubeObject, keyOf } from '../../kube/types/meta.ts';
import { type MeshApi, meshApi } from '../collections.ts';

export interface MeshGraph {
  readonly api: MeshApi;
  readonly graph: Graph;
  readonly put: (object: KubeObject) => void;
  readonly remove: (object: KubeObject) => void;
}

/** Builds it. Throws when a transform does. */
export function meshGraph(objects: Iterable<KubeObject>): MeshGraph {
  const graph = new Graph({
    schedule: () => {},
    assertions: true,
    onError: (collection, key, error) => {
      throw new Error(`${collection} ${key}`, { cause: error });
    },
  });
  const sources = {
    classes: source<GatewayClass>(graph, { name: 'GatewayClass', key: keyOf }),
    gateways: source<Gateway>(graph, { name: 'Gateway', key: keyOf }),
    namespaces: source<Namespace>(graph, { name: 'Namespace', key: keyOf }),
    services: source<Service>(graph, { name: 'Service', key: keyOf }),
    serviceEntries: source<ServiceEntry>(graph, { name: 'ServiceEntry', key: keyOf }),
    workloadEntries: source<WorkloadEntry>(graph, { name: 'WorkloadEntry', key: keyOf }),
    pods: source<Pod>(graph, { name: 'Pod', key: keyOf }),
    endpointSlices: source<EndpointSlice>(graph, { name: 'EndpointSlice', key: keyOf }),
  };
  const put = (o: KubeObject): void => {
    switch (o.kind) {
      case 'GatewayClass':
        return sources.classes.set(o as GatewayClass);
      case 'Gateway':
        return sources.gateways.set(o as Gateway);
      case 'Namespace':
        return sources.namespaces.set(o);
      case 'Service':
        return sources.services.set(o as Service);
      case 'ServiceEntry':
        return sources.serviceEntries.set(o as ServiceEntry);
      case 'WorkloadEntry':
        return sources.workloadEntries.set(o as WorkloadEntry);
      case 'EndpointSlice':
        return sources.endpointSlices.set(o as EndpointSlice);
      case 'Pod':
        return sources.pods.set(o as Pod);
      default:
        throw new Error(`the mesh has no ${o.kind}`);
    }
  };
  const api = meshApi(graph, sources);
  for (const object of objects) put(object);
  for (const s of Object.values(sources)) s.markSynced();
  const flush = (): void => {
    while (graph.dirty) graph.flush();
  };
  flush();
  return {
    api,
    graph,
    put: (object) => {
      put(object);
      flush();
    },
    remove: (object) => {
      for (const s of Object.values(sources)) if (s.name === object.kind) s.delete(keyOf(object));
      flush();
    },
  };
}
