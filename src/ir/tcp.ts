/**
 * Connections and datagrams that go to backends as they are.
 *
 *   [TcpBackend]* of a TcpChain        a connection without a backend is closed
 *   [UdpListener] -> [Cluster]         one whose endpoints are those of all backends, by weight, when there are several
 */
import type { ObjectRef } from './object-ref.ts';

/** A share of the connections. Absent cluster: invalid, its share is closed. */
export interface TcpBackend {
  readonly cluster?: string;
  /** Where TLS of the client goes through as it is; absent: there too. */
  readonly passthrough?: string;
  readonly weight: number;
}

/** The backends of connections whose TLS goes through. */
export function passingThrough(backends: readonly TcpBackend[]): readonly TcpBackend[] {
  return backends.map(({ passthrough, ...b }) => (passthrough === undefined ? b : { ...b, cluster: passthrough }));
}

/** A UDP port of a Gateway that something is routed to. */
export interface UdpListener {
  readonly scope: string;
  readonly name: string;
  readonly port: number;
  readonly cluster: string;
  readonly origins: readonly ObjectRef[];
}

/** Endpoints of one port of a Service; without a Service, a place where datagrams are dropped. */
export interface ClusterShare {
  readonly weight: number;
  readonly service?: { readonly key: string; readonly portName: string };
}

/** A cluster over several Services, each with its weight: what has no weighted clusters of its own in Envoy needs one. */
export interface SharedCluster {
  readonly name: string;
  readonly statName: string;
  readonly shares: readonly ClusterShare[];
  readonly origin: ObjectRef;
}
