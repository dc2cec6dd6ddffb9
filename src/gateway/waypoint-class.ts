/** Which GatewayClasses make waypoints, and how their proxies are reached. */
import { hbonePort } from '../ir/mesh-sender.ts';
import type { Gateway, GatewayClass } from '../kube/types/gateway-api.ts';

/** The classes that the controller creates: ztunnel ends HBONE in the Pod, or the proxy itself. */
export const waypointClassName = 'kgateway-waypoint';
export const hboneClassName = 'kgateway-waypoint-hbone';

/** Says on a class or a Gateway what ztunnel sends to its Pods, and on which port. */
export const inboundBindingAnnotation = 'ambient.istio.io/waypoint-inbound-binding';

/** ztunnel ends HBONE in the Pod and connects here, on loopback, with a PROXY header that carries the identity of the client. */
export const proxyProtocol = 'istio.io/PROXY';
export const waypointPort = 15_088;

/** The listener that `istioctl waypoint generate` writes: what clients send, whoever ends it. */
export const hboneProtocol = 'HBONE';

/** How connections come into the proxy of a waypoint. */
export interface WaypointEntrance {
  /** True: the proxy ends HBONE itself, with a certificate of the mesh. False: ztunnel does, and sends PROXY headers over loopback. */
  readonly hbone: boolean;
  /** Where the proxy listens. */
  readonly port: number;
  /** It serves workloads that clients dial by their own addresses. */
  readonly workloads: boolean;
}

/** The entrance of a Gateway of a class of waypoints. */
export function waypointEntrance(gateway: Gateway, gatewayClass: GatewayClass): WaypointEntrance {
  const hbone = gatewayClass.metadata.name === hboneClassName;
  const type = trafficTypeOf(gateway, gatewayClass);
  return { hbone, port: hbone ? hbonePort : tunnelPort(gateway, gatewayClass), workloads: type === 'workload' || type === 'all' };
}

/** Whether a listener means the entrance: HBONE on its only port, or what ztunnel makes of it. Otherwise what is wrong. */
export function entranceProblem(
  l: { readonly protocol: string; readonly port: number },
  { hbone, port }: Pick<WaypointEntrance, 'hbone' | 'port'>,
): string | undefined {
  if (l.protocol === hboneProtocol) {
    return l.port === hbonePort ? undefined : `clients send HBONE to port ${hbonePort}, not to ${l.port}: use port ${hbonePort}`;
  }
  if (l.port === port) return undefined;
  return hbone
    ? undefined
    : `ztunnel connects to port ${port} (annotation ${inboundBindingAnnotation}), not to ${l.port}: use port ${port}`;
}

/** True for ours by name, and for any class of ours that asks ztunnel for PROXY headers. */
export function isWaypointClass(gatewayClass: GatewayClass | undefined): boolean {
  if (!gatewayClass) return false;
  const { name, annotations } = gatewayClass.metadata;
  return name === waypointClassName || name === hboneClassName || annotations?.[inboundBindingAnnotation]?.startsWith('PROXY') === true;
}

/** The port that ztunnel connects to on the Pods of a waypoint: of the annotation of the Gateway, else of its class. */
export function tunnelPort(gateway: Gateway, gatewayClass: GatewayClass): number {
  const binding = gateway.metadata.annotations?.[inboundBindingAnnotation] ?? gatewayClass.metadata.annotations?.[inboundBindingAnnotation];
  const port = Number(/^PROXY\/([0-9]{1,5})$/.exec(binding ?? '')?.[1] ?? waypointPort);
  return port > 0 && port < 65_536 ? port : waypointPort;
}

const clientCertAnnotation = 'ambient.istio.io/xfcc-include-client-identity';

/** Whether backends are to learn the identity of clients: an annotation that the Pods get by `spec.infrastructure`, as Istio reads it. */
export function asksForClientCertHeader({ annotations }: { readonly annotations: Readonly<Record<string, string>> }): boolean {
  return annotations[clientCertAnnotation]?.toLowerCase() === 'true';
}

const dnsLabel = /^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$/;

/**
 * Why a waypoint cannot have this name: its Pods carry it in the label `gateway.networking.k8s.io/gateway-name`, by which istiod finds them, and its
 * Service is called so. A name cut short would leave the Pods without the tunnel, and their Services without policies.
 */
function waypointNameProblem(name: string): string | undefined {
  if (dnsLabel.test(name)) return undefined;
  return `metadata.name: istiod finds the Pods of a waypoint by a label with its name; use at most 63 of a-z, 0-9 and -, with a letter in front (${name.length} characters)`;
}

const trafficTypeLabel = 'istio.io/waypoint-for';

/** What a waypoint is for: service, workload, all or none, as written on the Gateway, else on its class. */
export function trafficTypeOf(gateway: Gateway, gatewayClass: GatewayClass | undefined): string {
  return gateway.metadata.labels?.[trafficTypeLabel] ?? gatewayClass?.metadata.labels?.[trafficTypeLabel] ?? 'service';
}

/** Why a Gateway cannot be a waypoint. */
export function waypointProblem(gateway: Gateway, enabled: boolean): string | undefined {
  if (!enabled) return 'Waypoints are not enabled: set waypoint.enabled to true in the values of the chart';
  return waypointNameProblem(gateway.metadata.name);
}
