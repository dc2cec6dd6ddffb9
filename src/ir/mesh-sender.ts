/**
 * How the proxies of a Gateway send into the mesh.
 *
 *   captured ingress ─> address of a Service that wants it ([ServiceAddress]) ─> its ztunnel ─> waypoint of the Service
 */

export type AddressFamily = 'IPv4' | 'IPv6';

/** An ingress whose Pods are captured: their ztunnel sees what they dial. */
export interface MeshSender {
  /** `namespace/name` of the Gateway. */
  readonly scope: string;
  /** Of the addresses of its Pods. */
  readonly families: readonly AddressFamily[];
  /** True when all of its Pods are captured, so that everything to the mesh is encrypted by ztunnel. */
  readonly whole: boolean;
}

/** A Service whose waypoint is to see what ingresses send: what they dial for it. */
export interface ServiceAddress {
  /** `namespace/name`. */
  readonly service: string;
  readonly addresses: readonly string[];
}

/** The family of an IP address. */
export function familyOf(address: string): AddressFamily {
  return address.includes(':') ? 'IPv6' : 'IPv4';
}
