import { hash } from 'node:crypto';
import type { Cluster, Endpoints } from '../ir/backend.ts';
import type { ObjectRef } from '../ir/object-ref.ts';
import type { ClusterVariant } from './translate/cluster.ts';

/** The xDS types that we serve. */
export const TypeUrl = {
  cluster: 'type.googleapis.com/envoy.config.cluster.v3.Cluster',
  endpoint: 'type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment',
  listener: 'type.googleapis.com/envoy.config.listener.v3.Listener',
  route: 'type.googleapis.com/envoy.config.route.v3.RouteConfiguration',
  scopedRoute: 'type.googleapis.com/envoy.config.route.v3.ScopedRouteConfiguration',
  secret: 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret',
} as const;

export type TypeUrl = (typeof TypeUrl)[keyof typeof TypeUrl];

/**
 * One resource as it goes to the proxies of one scope. Encoded once, when it changes; every stream sends the same bytes.
 * The version is a hash of the bytes, so equal bytes are never sent twice.
 */
export interface XdsResource {
  /** Which proxies get it: `namespace/name` of their Gateway. */
  readonly scope: string;
  readonly type: TypeUrl;
  readonly name: string;
  readonly version: string;
  /** The encoded message (`Any.value`). */
  readonly bytes: Uint8Array;
  /** The user's objects that it was made from: a rejection is reported on them. */
  readonly origins: readonly ObjectRef[];
  /** Names of the clusters that must be live at the proxy before this resource may be sent (make before break). */
  readonly clusters: readonly string[];
  /** What it was made from, if its bytes differ by where a proxy runs: see placed.ts. The version then stands for all of them. */
  readonly placed?: Endpoints | PlacedCluster;
}

/** A cluster that has its endpoints in itself, as the proxy resolves them. */
export interface PlacedCluster {
  readonly cluster: Cluster;
  readonly variant: ClusterVariant;
}

/** Key of a resource in collections: unique over scopes and types. */
export function xdsResourceKey(r: Pick<XdsResource, 'scope' | 'type' | 'name'>): string {
  return `${r.scope}|${r.type}|${r.name}`;
}

/** Version of a resource: a short hash of its bytes. */
export function versionOf(bytes: Uint8Array): string {
  return hash('sha1', bytes, 'base64url').slice(0, 16);
}

/** A resource of these bytes; `clusters` must be live before it is sent. */
export function resourceOf(
  type: TypeUrl,
  { scope, name, origins }: Pick<XdsResource, 'scope' | 'name' | 'origins'>,
  bytes: Uint8Array,
  clusters: readonly string[] = [],
): XdsResource {
  return { scope, type, name, version: versionOf(bytes), bytes, origins, clusters };
}

/** A proxy that has an open, authenticated stream. */
export interface ConnectedProxy {
  /** Unique per stream: node id and a stream counter. */
  readonly id: string;
  readonly nodeId: string;
  readonly scope: string;
  /** True once it has acknowledged listeners: it serves. */
  readonly serving: boolean;
}

/** A resource that a connected proxy refused, with Envoy's message. It disappears when the proxy accepts a newer version or leaves. */
export interface Rejection {
  readonly proxy: string;
  readonly scope: string;
  readonly type: TypeUrl;
  readonly name: string;
  readonly version: string;
  readonly message: string;
}

/** Key of a rejection in collections: one a resource and stream. */
export function rejectionKey(r: Pick<Rejection, 'proxy' | 'type' | 'name'>): string {
  return `${r.proxy}|${r.type}|${r.name}`;
}
