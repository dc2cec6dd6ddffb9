/**
 * Services of the mesh, and which waypoint serves them.
 *
 *   Service, ServiceEntry ─> [MeshService] ─ istio.io/use-waypoint ─> [BoundService] ─> filter chains of the waypoint
 *   Pod, WorkloadEntry ────> [MeshWorkload] ───────────────────────> [BoundWorkload]
 */
import type { Endpoint } from './backend.ts';
import type { EndpointPlace } from './locality.ts';
import type { ObjectRef } from './object-ref.ts';
import { ownValue } from './own-value.ts';

/** What a port carries. `auto`: nobody said so, and it is to be found out from the first bytes. */
export type MeshProtocol = 'http' | 'http2' | 'grpc' | 'grpc-web' | 'tls' | 'tcp' | 'auto';

export interface MeshPort {
  readonly port: number;
  /** How EndpointSlices, and endpoints of ServiceEntries, refer to it. */
  readonly name: string;
  readonly protocol: MeshProtocol;
  /** Only of a ServiceEntry: the port of its endpoints that do not say their own. */
  readonly targetPort?: number;
}

/** An endpoint that stands in the ServiceEntry itself. */
export interface InlineEndpoint {
  /** IP address, or with `dns` also a name. */
  readonly address: string;
  /** By name of the port. */
  readonly ports: Readonly<Record<string, number>>;
  /** In full, with its labels. */
  readonly at?: EndpointPlace;
  readonly weight?: number;
}

/** Envoy refuses endpoints whose weights add up to more than 32 bits: 65,537 of these do not. */
const maxWeight = 65_535;

/** The endpoint on a port: it may give a number of its own to the name (Istio: WorkloadEntry.ports). A weight of 0 is as none. */
export function endpointOn({ address, ports, at, weight }: InlineEndpoint, port: MeshPort): Endpoint {
  return {
    address,
    port: ownValue(ports, port.name) ?? port.targetPort ?? port.port,
    ...(at?.zone !== undefined && { zone: at.zone }),
    ...(at && { at }),
    ...(weight && { weight: Math.min(weight, maxWeight) }),
  };
}

/** Where the endpoints of a service are found. */
export type EndpointSource =
  /** EndpointSlices of this Service, `namespace/name`. */
  | { readonly from: 'slices'; readonly service: string }
  /** In the ServiceEntry. */
  | { readonly from: 'static'; readonly endpoints: readonly InlineEndpoint[] }
  /** Pods and WorkloadEntries of the namespace that have all these labels. */
  | { readonly from: 'workloads'; readonly namespace: string; readonly labels: Readonly<Record<string, string>> }
  /** Names that the proxy resolves; without endpoints in the ServiceEntry its host. */
  | { readonly from: 'dns'; readonly endpoints: readonly InlineEndpoint[] }
  /** The address that the client dialled (resolution NONE). */
  | { readonly from: 'original-destination' }
  /** The host that the request names (resolution DYNAMIC_DNS). */
  | { readonly from: 'request-host' };

/** One host of a Service or ServiceEntry. Of several objects with one host in a namespace, a Service wins, else the oldest ServiceEntry. */
export interface MeshService {
  /** `namespace/host`. */
  readonly key: string;
  readonly kind: 'Service' | 'ServiceEntry';
  readonly namespace: string;
  readonly name: string;
  /** `echo.demo.svc.cluster.local`, or a host of the ServiceEntry, which may begin with `*.`. */
  readonly host: string;
  /** What clients dial: IP addresses, of a ServiceEntry also CIDRs. Empty for a headless Service: no client asks a waypoint for it. */
  readonly addresses: readonly string[];
  readonly ports: readonly MeshPort[];
  readonly endpoints: EndpointSource;
  /** Of a ServiceEntry: names that certificates of its endpoints may have. */
  readonly subjectAltNames?: readonly string[];
  readonly origin: ObjectRef;
}

/** A service that a waypoint of ours is to serve: one filter chain for each port on its addresses. */
export interface BoundService {
  /** `waypoint|namespace/host`. */
  readonly key: string;
  /** `namespace/name` of the Gateway: the scope of its proxies. */
  readonly waypoint: string;
  /** A canary is programmed in full: clients choose by weight, once a connection. */
  readonly role: 'primary' | 'canary';
  /** Percent of the connections that come to this waypoint. */
  readonly weight: number;
  readonly service: MeshService;
}

/** A Pod or WorkloadEntry that clients may dial by its own address. */
export interface MeshWorkload {
  /** `Pod/namespace/name`. */
  readonly key: string;
  readonly kind: 'Pod' | 'WorkloadEntry';
  readonly namespace: string;
  readonly name: string;
  readonly addresses: readonly string[];
  readonly origin: ObjectRef;
}

/** A workload whose traffic by Pod address goes through a waypoint of ours (`istio.io/waypoint-for: workload` or `all`). */
export interface BoundWorkload {
  /** `waypoint|Pod/namespace/name`. */
  readonly key: string;
  readonly waypoint: string;
  readonly workload: MeshWorkload;
}
