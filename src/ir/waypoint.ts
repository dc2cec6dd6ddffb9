/**
 * What a waypoint serves: connections come with the address of a Service that they ask for, and with the identity of their client.
 *
 *   [WaypointListener] -> TCP: [TcpService] by address and port
 *                      -> anything else: HTTP, [ServiceScope] by address and port
 */
import type { Authorization } from './authorization.ts';
import type { JwtAuthentication } from './jwt.ts';
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

/** A port that speaks HTTP, with its routes. */
export interface ServiceScope extends ServicePlace {
  /** Routes whose parent is the Service, those of consumers among them. */
  readonly ofService: readonly HostRoutes[];
  /** Routes whose parent is the waypoint. */
  readonly ofWaypoint: readonly HostRoutes[];
  /** Forwards to the Service itself; holds when there is no route of a producer or of the waypoint. */
  readonly byDefault: RouteRule;
}

/** A port that speaks anything else. The address may be a range, as `10.0.0.0/8`. */
export interface TcpService extends ServicePlace {
  /** Of every connection that names no host of `tls`. Empty: it is closed. */
  readonly backends: readonly TcpBackend[];
  /** TLS by the server name that it asks for; it goes through as it is. Empty: nobody looks for a server name. */
  readonly tls: readonly TlsBranch[];
}

export interface TlsBranch {
  /** Exact, `*.suffix` or `*`. */
  readonly host: string;
  readonly backends: readonly TcpBackend[];
}

/** The listener of a waypoint: its bytes do not depend on the Services that speak HTTP. */
export interface WaypointListener {
  readonly scope: string;
  readonly port: number;
  /** True: the proxy ends HBONE itself. False: ztunnel does, and sends PROXY headers over loopback. */
  readonly hbone: boolean;
  /** Whose certificates are taken, with `hbone`; the mesh's own first. */
  readonly trustDomains?: readonly string[];
  readonly tcp: readonly TcpService[];
  /** Absent: the default. */
  readonly telemetry?: WaypointTelemetry;
  readonly origins: readonly ObjectRef[];
}
