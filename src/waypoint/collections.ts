/**
 * Istio's ambient mesh as collections.
 *
 *   Service, ServiceEntry ─> MeshServices ─────┐
 *   Pod, WorkloadEntry ────> Workloads ────────┼─> Bindings ─> BoundServices, BoundWorkloads
 *   Gateway, GatewayClass ─> Waypoints ────────┤
 *   Namespace ─────────────────────────────────┘
 */
import { type LabelledService, meshServices } from '../istio/services.ts';
import { type Workloads, workloadsOf } from '../istio/workloads.ts';
import type { BoundService } from '../ir/mesh.ts';
import type { Collection, Graph, Index } from '../krt/index.ts';
import type { Namespace, Pod, Service } from '../kube/types/core.ts';
import type { Gateway, GatewayClass } from '../kube/types/gateway-api.ts';
import type { ServiceEntry, WorkloadEntry } from '../kube/types/istio-networking.ts';
import { type Bindings, bindings, meshNamespaces } from './binding.ts';
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
}

/** What comes of it. */
export interface MeshApi extends Bindings {
  /** Every service of the mesh, by `namespace/host`, bound or not. */
  readonly meshServices: Collection<LabelledService>;
  readonly meshWorkloads: Workloads;
  readonly waypoints: Collection<Waypoint>;
  /** Bound services by `Kind/namespace/name` of the Service or ServiceEntry. */
  readonly boundByObject: Index<BoundService>;
  /** Bound services by namespace. */
  readonly boundByNamespace: Index<BoundService>;
  /** Bound services by `namespace/name` of the waypoint. */
  readonly boundByWaypoint: Index<BoundService>;
}

/** Builds the collections. */
export function meshApi(g: Graph, inputs: MeshInputs): MeshApi {
  const services = meshServices(g, inputs);
  const workloads = workloadsOf(g, inputs);
  const waypoints = waypointsOf(g, inputs);
  const namespaces = meshNamespaces(g, inputs.namespaces);
  const bound = bindings(g, { services, workloads: workloads.collection, waypoints, namespaces });
  return {
    ...bound,
    meshServices: services,
    meshWorkloads: workloads,
    waypoints,
    boundByObject: bound.boundServices.index('object', ({ service: s }) => [`${s.kind}/${s.namespace}/${s.name}`]),
    boundByNamespace: bound.boundServices.index('namespace', ({ service: s }) => [s.namespace]),
    boundByWaypoint: bound.boundServices.index('waypoint', (b) => [b.waypoint]),
  };
}
