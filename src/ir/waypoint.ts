/**
 * What a waypoint serves: connections come with the address of a Service that they ask for, and with the identity of their client.
 *
 *   [WaypointListener] -> TCP: [TcpService] by address and port
 *                      -> anything else: HTTP, [ServiceScope] by address and port
 *
 * A port of which nobody knows what it speaks is both. Workloads that clients dial by their own addresses share a place, which has no address:
 *
 *   [ServedWorkload]* -> [WorkloadGroup] by address -> HTTP: the [ServiceScope] of the place, TCP: its [TcpService]
 */
import type { Authorization } from './authorization.ts';
import type { JwtAuthentication } from './jwt.ts';
import type { TrustDomains } from './mesh-identity.ts';
import type { ObjectRef } from './object-ref.ts';
import type { HostRoutes, RouteRule } from './route.ts';
import type { TcpBackend } from './tcp.ts';
import type { WaypointTelemetry } from './telemetry.ts';

/** One port of a Service under one address. */
export interface ServicePlace {
  readonly scope: string;
  readonly address: string;
  readonly port: number;
  /** Who may do what here. */
  readonly authorization?: Authorization;
  /** Whose tokens are believed; only HTTP carries any. */
  readonly jwt?: JwtAuthentication;
  readonly origin: ObjectRef;
}

/** A port that speaks HTTP, or may do so, with its routes. */
export interface ServiceScope extends ServicePlace {
  /** One, unless hosts of a ServiceEntry share an address: then by the host that requests name. */
  readonly services: readonly ServiceRoutes[];
  /** Routes whose parent is the waypoint. */
  readonly ofWaypoint: readonly HostRoutes[];
}

/** What of a scope belongs to one service. */
export interface ServiceRoutes {
  /** Requests that name it; `*`: all that name no other. */
  readonly host: string;
  /** Routes whose parent is the Service, those of consumers among them. */
  readonly ofService: readonly HostRoutes[];
  /** Forwards to the Service itself; holds when there is no route of a producer or of the waypoint. */
  readonly byDefault: RouteRule;
}

/** A port that speaks anything else. The address may be a range, as `10.0.0.0/8`; then it is here, with a scope, if it speaks HTTP as well. */
export interface TcpService extends ServicePlace {
  /** Connections are HTTP, and its scope has their routes. */
  readonly http?: true;
  /** Nobody said what it speaks: its scope has the routes of connections whose first bytes are HTTP, all others are those of `backends`. */
  readonly detect?: true;
  /** Only with `http`: where requests go by the name that they ask for, the port behind it; that of their authority counts for nothing. */
  readonly onward?: number;
  /** Of every connection that names no host of `tls`. Empty: it is closed. */
  readonly backends: readonly TcpBackend[];
  /** TLS by the server name that it asks for; it goes through as it is. Empty: nobody looks for a server name. */
  readonly tls: readonly TlsBranch[];
}

export interface TlsBranch {
  /** Exact, `*.suffix` or `*`. */
  readonly host: string;
  readonly backends: readonly TcpBackend[];
  /** The backends are the names that connections ask for, on this port. */
  readonly byName?: number;
}

/** A Pod or WorkloadEntry that a waypoint serves under its own addresses. */
export interface ServedWorkload extends WorkloadKind {
  /** `waypoint|Pod/namespace/name`. */
  readonly key: string;
  readonly waypoint: string;
  readonly members: readonly WorkloadMember[];
}

interface WorkloadKind {
  readonly namespace: string;
  /** Name of the Deployment or whatever runs it. */
  readonly workload: string;
  /** It takes tunnels (HBONE), whose other end has to show that it is this ServiceAccount of the namespace. Absent: it takes none. */
  readonly account?: string;
}

/** One address of a workload. */
export interface WorkloadMember {
  readonly address: string;
  /** Ports of which a Service or WorkloadEntry says what they speak; of all others it is found out. */
  readonly ports: readonly { readonly port: number; readonly protocol: 'http' | 'tcp' }[];
}

/** The workloads of one Deployment, say: they differ in their addresses alone. */
export interface WorkloadGroup extends WorkloadKind {
  readonly members: readonly WorkloadMember[];
}

/** In place of an address, with port 0: where connections to workloads belong, by how those are reached. Their clusters are called the same. */
export const workloadPlace = 'workloads';
export const workloadTunnelPlace = 'workload-tunnels';

/** What a waypoint serves that is for workloads. */
export interface Workloads {
  /** Of each way in which they are reached. */
  readonly places: readonly TcpService[];
  readonly groups: readonly WorkloadGroup[];
}

/** The listener of a waypoint: its bytes do not depend on the Services that speak HTTP. */
export interface WaypointListener {
  readonly scope: string;
  readonly port: number;
  /** True: the proxy ends HBONE itself. False: ztunnel does, and sends PROXY headers over loopback. */
  readonly hbone: boolean;
  /** Whose certificates are taken, with `hbone`. */
  readonly trustDomains: TrustDomains;
  /** Backends are told who the client is by `x-forwarded-client-cert`. */
  readonly clientCertHeader?: true;
  readonly tcp: readonly TcpService[];
  /** Absent: it is for Services alone. */
  readonly workloads?: Workloads;
  /** Absent: the default. */
  readonly telemetry?: WaypointTelemetry;
  readonly origins: readonly ObjectRef[];
}

/** As the Gateway says it, which does not know the mesh. */
export type WaypointListenerOfGateway = Omit<WaypointListener, 'trustDomains'>;
