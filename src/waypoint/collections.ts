/**
 * Istio's ambient mesh as collections.
 *
 *   Service, ServiceEntry ─> MeshServices ─────┐
 *   Pod, WorkloadEntry ────> Workloads ────────┼─> Bindings ─> BoundServices, BoundWorkloads
 *   Gateway, GatewayClass ─> Waypoints ────────┤                └─> ServedWorkloads <── Pods, EndpointSlices
 *   Namespace ─────────────────────────────────┘
 */
import { type LabelledService, meshServices } from '../istio/services.ts';
import { type Workloads, serviceEntryEndpoints, workloadsOf } from '../istio/workloads.ts';
import type { Endpoints } from '../ir/backend.ts';
import type { BoundService } from '../ir/mesh.ts';
import { serviceEntryClusterName } from '../ir/names.ts';
import { serviceKey } from '../ir/object-ref.ts';
import type { ServedWorkload } from '../ir/waypoint.ts';
import { type Collection, type Graph, type Index, flatMap } from '../krt/index.ts';
import type { EndpointSlice, Namespace, Pod, Service } from '../kube/types/core.ts';
import type { Gateway, GatewayClass } from '../kube/types/gateway-api.ts';
import type { ServiceEntry, WorkloadEntry } from '../kube/types/istio-networking.ts';
import { type Bindings, type MeshNamespace, bindings, meshNamespaces } from './binding.ts';
import { servedWorkloads } from './served-workloads.ts';
import { type Waypoint, waypointsOf } from './waypoints.ts';

/** What is watched. */
export interface MeshInputs {
  readonly classes: Collection<GatewayClass>;
  readonly gateways: Collection<Gateway>;
  readonly namespaces: Collection<Namespace>;
  readonly services: Collection<Service>;
  readonly serviceEntries: Collection<ServiceEntry>;
  readonly workloadEntries: Collection<WorkloadEntry>;
  readonly pods: Collection<Pod>;
  readonly endpointSlices: Collection<EndpointSlice>;
}

/** What comes of it. */
export interface MeshApi extends Bindings {
  /** Every service of the mesh, by `namespace/host`, bound or not. */
  readonly meshServices: Collection<LabelledService>;
  readonly meshWorkloads: Workloads;
  readonly waypoints: Collection<Waypoint>;
  readonly meshNamespaces: Collection<MeshNamespace>;
  readonly servedWorkloads: Collection<ServedWorkload>;
  /** Of the ServiceEntries of the mesh whose endpoints have addresses, by name of the cluster. */
  readonly serviceEntryEndpoints: Collection<Endpoints>;
  /** Bound services by `Kind/namespace/name` of the Service or ServiceEntry. */
  readonly boundByObject: Index<BoundService>;
  /** Bound services by host. */
  readonly boundByHost: Index<BoundService>;
}

/** Builds the collections. */
export function meshApi(g: Graph, inputs: MeshInputs): MeshApi {
  const services = meshServices(g, inputs);
  const workloads = workloadsOf(g, inputs);
  const waypoints = waypointsOf(g, inputs);
  const namespaces = meshNamespaces(g, inputs.namespaces);
  const bound = bindings(g, { services, workloads: workloads.collection, waypoints, namespaces });
  const endpoints = flatMap(g, services, { name: 'ServiceEntryEndpoints', key: (e: Endpoints) => e.cluster }, (ctx, { service }) =>
    service.endpoints.from === 'static' || service.endpoints.from === 'workloads'
      ? service.ports.map((port) => ({
          cluster: serviceEntryClusterName(service.namespace, service.host, port.port),
          endpoints: serviceEntryEndpoints(ctx, workloads, service, port),
        }))
      : [],
  );
  return {
    ...bound,
    servedWorkloads: servedWorkloads(g, { ...inputs, workloads, boundWorkloads: bound.boundWorkloads }),
    serviceEntryEndpoints: endpoints,
    meshServices: services,
    meshWorkloads: workloads,
    waypoints,
    meshNamespaces: namespaces,
    boundByObject: bound.boundServices.index('object', ({ service }) => [serviceKey(service)]),
    boundByHost: bound.boundServices.index('host', ({ service: s }) => [s.host]),
  };
}
