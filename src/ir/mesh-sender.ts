/**
 * How the proxies of a Gateway send into the mesh.
 *
 *   captured ingress ─> address of a Service that wants it ([ServiceAddress]) ─> its ztunnel ─> waypoint of the Service
 *   waypoint that ends HBONE itself ─> [HboneWorkload] by a tunnel of its own, anything else in plain text
 */
import type { TrustDomains } from './mesh-identity.ts';

/** Where everybody takes HBONE. */
export const hbonePort = 15_008;

export type AddressFamily = 'IPv4' | 'IPv6';

/** An ingress whose Pods are captured: their ztunnel sees what they dial. */
export interface CapturedIngress {
  readonly by: 'ztunnel';
  /** `namespace/name` of the Gateway. */
  readonly scope: string;
  /** Of the addresses of its Pods. */
  readonly families: readonly AddressFamily[];
  /** True when all of its Pods are captured, so that everything to the mesh is encrypted by ztunnel. */
  readonly whole: boolean;
}

/** A waypoint with a certificate of the mesh. */
export interface HboneSender {
  readonly by: 'hbone';
  readonly scope: string;
  readonly trustDomains: TrustDomains;
}

/** A Gateway that takes part in the mesh with what it sends. */
export type MeshSender = CapturedIngress | HboneSender;

/** A Service whose waypoint is to see what ingresses send: what they dial for it. */
export interface ServiceAddress {
  /** `namespace/name`. */
  readonly service: string;
  readonly addresses: readonly string[];
}

/** A workload that takes HBONE on port 15008, under its own identity. */
export interface HboneWorkload {
  /** `namespace/name` of the Pod. */
  readonly key: string;
  readonly addresses: readonly string[];
  readonly namespace: string;
  readonly serviceAccount: string;
}

/** The family of an IP address. */
export function familyOf(address: string): AddressFamily {
  return address.includes(':') ? 'IPv6' : 'IPv4';
}
