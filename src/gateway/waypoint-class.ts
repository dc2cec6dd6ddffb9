/** Which GatewayClasses make waypoints, and how their proxies are reached. */
import type { GatewayClass } from '../kube/types/gateway-api.ts';

/** The class that the controller creates. */
export const waypointClassName = 'kgateway-waypoint';

/** Says on a class or a Gateway what ztunnel sends to its Pods, and on which port. */
export const inboundBindingAnnotation = 'ambient.istio.io/waypoint-inbound-binding';

/** ztunnel ends HBONE in the Pod and connects here, on loopback, with a PROXY header that carries the identity of the client. */
export const proxyProtocol = 'istio.io/PROXY';
export const waypointPort = 15_088;

/** True for ours by name, and for any class of ours that asks ztunnel for PROXY headers. */
export function isWaypointClass(gatewayClass: GatewayClass | undefined): boolean {
  if (!gatewayClass) return false;
  const { name, annotations } = gatewayClass.metadata;
  return name === waypointClassName || annotations?.[inboundBindingAnnotation]?.startsWith('PROXY') === true;
}
