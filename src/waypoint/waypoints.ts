/** Gateways as waypoints, the way istiod sees them: [Gateway], of whatever class -> Waypoint. */
import { isOurs } from '../gateway/gateway.ts';
import { hbonePort } from '../ir/mesh-sender.ts';
import { hboneProtocol, inboundBindingAnnotation, isWaypointClass, proxyProtocol, trafficTypeOf } from '../gateway/waypoint-class.ts';
import { type Collection, type Graph, map } from '../krt/index.ts';
import type { Gateway, GatewayClass, RouteNamespaces } from '../kube/types/gateway-api.ts';
import { keyOf } from '../kube/types/meta.ts';

/** What of a Gateway decides whose waypoint it is. */
export interface Waypoint {
  /** `namespace/name`. */
  readonly key: string;
  readonly namespace: string;
  /** True when we run it; a waypoint of somebody else may have one of ours as its canary. */
  readonly ours: boolean;
  /** `istio.io/waypoint-for`, as written: service, workload, all or none; anything else is like none. */
  readonly trafficType: string;
  /** From which namespaces it may be used. */
  readonly namespaces: RouteNamespaces;
}

const sameNamespace: RouteNamespaces = { from: 'Same' };

/** Every Gateway; whether one is ready is not asked: what it serves has to be there before istiod sends anybody to it. */
export function waypointsOf(
  g: Graph,
  inputs: { readonly gateways: Collection<Gateway>; readonly classes: Collection<GatewayClass> },
): Collection<Waypoint> {
  return map(g, inputs.gateways, { name: 'Waypoints' }, (ctx, gateway) =>
    waypointOf(gateway, ctx.fetchOne(inputs.classes, gateway.spec.gatewayClassName)),
  );
}

/** A Gateway as a waypoint. The label and the annotation of the Gateway win over those of its class. */
function waypointOf(gateway: Gateway, gatewayClass: GatewayClass | undefined): Waypoint {
  const ofClass = gatewayClass?.metadata;
  return {
    key: keyOf(gateway),
    namespace: gateway.metadata.namespace ?? '',
    ours: isOurs(gatewayClass) && isWaypointClass(gatewayClass),
    trafficType: trafficTypeOf(gateway, gatewayClass),
    namespaces: allowedNamespaces(
      gateway,
      gateway.metadata.annotations?.[inboundBindingAnnotation] ?? ofClass?.annotations?.[inboundBindingAnnotation],
    ),
  };
}

/** `allowedRoutes` of the listener that takes the traffic: the one that the annotation means, else HBONE on 15008; without either the own namespace. */
function allowedNamespaces(gateway: Gateway, binding: string | undefined): RouteNamespaces {
  const { listeners } = gateway.spec;
  const bound = boundListener(listeners, binding) ?? listeners.find((l) => l.protocol === hboneProtocol && l.port === hbonePort);
  return bound?.allowedRoutes?.namespaces ?? sameNamespace;
}

/** The annotation is `PROTOCOL` or `PROTOCOL/PORT`; istiod ignores any other. */
function boundListener(listeners: Gateway['spec']['listeners'], binding: string | undefined): (typeof listeners)[number] | undefined {
  const parts = binding?.split('/') ?? [];
  const [protocol, port] = parts;
  if (parts.length > 2 || (protocol !== 'PROXY' && protocol !== 'NONE')) return undefined;
  const number = port !== undefined && /^[0-9]+$/.test(port) ? Number(port) : 0;
  if (number !== 0) return listeners.find((l) => l.port === number);
  return protocol === 'PROXY' ? listeners.find((l) => l.protocol === proxyProtocol) : undefined;
}
