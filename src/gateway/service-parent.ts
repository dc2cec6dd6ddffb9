/**
 * Routes whose parent is a Service (GAMMA): they serve in the scopes that a waypoint keeps for the ports of that Service.
 *
 *   [parentRef: Service | ServiceEntry | Hostname] -> [BoundService] -> its ports -> AttachedListener, one a port
 *
 * HTTPRoutes and GRPCRoutes have the ports that speak HTTP, TLSRoutes those of TLS, TCPRoutes all others.
 */
import type { BoundService, MeshPort } from '../ir/mesh.ts';
import { serviceChain } from '../ir/names.ts';
import { serviceKey } from '../ir/object-ref.ts';
import type { Collection, Ctx, Index } from '../krt/index.ts';
import type { ParentReference } from '../kube/types/gateway-api.ts';
import type { AttachedListener, AttachingRoute, ParentAttachment } from './attachment.ts';
import { gatewayGroup, route as condition } from './conditions.ts';
import { anyHost } from './hostname.ts';

export interface ServiceParents {
  readonly bound: Collection<BoundService>;
  readonly byParent: Index<BoundService>;
}

const istioGroup = 'networking.istio.io';

/** Indexes services by what a parentRef may call them. */
export function serviceParents(bound: Collection<BoundService>): ServiceParents {
  const byParent = bound.index('parent', ({ service }) => [serviceKey(service), `Hostname/${service.host}`]);
  return { bound, byParent };
}

/** True when the port speaks a form of HTTP, by its declaration. A port without one speaks HTTP when a route for HTTP names it. */
export function speaksHttp(port: MeshPort): boolean {
  return port.protocol === 'http' || port.protocol === 'http2' || port.protocol === 'grpc' || port.protocol === 'grpc-web';
}

/**
 * Attaches a route to one parent at every waypoint of ours that serves it. Empty when none does: then it is somebody else's to report on.
 * A route of another namespace holds for the clients of that namespace only (GAMMA: consumer routes).
 */
export function attachToService(
  ctx: Ctx,
  parents: ServiceParents,
  route: AttachingRoute,
  parentRef: ParentReference,
): readonly ParentAttachment[] {
  const key = parentKey(parentRef, route.namespace);
  const carried = carries[route.kind.kind];
  if (key === undefined || !carried) return [];
  return ctx.fetch(parents.bound, { index: parents.byParent, is: key }).map((bound) => attachAt(bound, route, carried, parentRef));
}

interface Carried {
  /** The protocol, in words of the user. */
  readonly protocol: string;
  /** True for a port that the route may have. `named`: the route says that it means this one. */
  readonly fits: (port: MeshPort, named: boolean) => boolean;
  readonly remedy: string;
}

const http: Carried = {
  protocol: 'HTTP',
  fits: (port) => speaksHttp(port) || port.protocol === 'auto',
  remedy: 'set appProtocol: http, begin their names with http, or name the port in parentRefs',
};

/**
 * What the kinds of routes carry. A port without declaration is what the route says that names it; one for HTTP that does not holds for what turns
 * out to be HTTP.
 */
const carries: Readonly<Record<string, Carried>> = {
  HTTPRoute: http,
  GRPCRoute: http,
  TLSRoute: {
    protocol: 'TLS',
    fits: (port, named) => port.protocol === 'tls' || (named && !speaksHttp(port)),
    remedy: 'set appProtocol: tls, begin their names with tls, or name the port in parentRefs',
  },
  TCPRoute: {
    protocol: 'TCP',
    fits: (port) => !speaksHttp(port),
    remedy: 'set appProtocol: tcp or begin their names with tcp; a port that speaks HTTP takes HTTPRoutes',
  },
};

function parentKey(ref: ParentReference, namespace: string): string | undefined {
  const group = ref.group ?? gatewayGroup;
  const kind = ref.kind ?? 'Gateway';
  if (group === istioGroup && kind === 'Hostname') return `Hostname/${ref.name}`;
  if ((group === '' || group === 'core') && kind === 'Service') return `Service/${ref.namespace ?? namespace}/${ref.name}`;
  if (group === istioGroup && kind === 'ServiceEntry') return `ServiceEntry/${ref.namespace ?? namespace}/${ref.name}`;
  return undefined;
}

function attachAt(
  { waypoint, service }: BoundService,
  route: AttachingRoute,
  carried: Carried,
  parentRef: ParentReference,
): ParentAttachment {
  const refuse = (why: string): ParentAttachment => ({
    parentRef,
    gateway: waypoint,
    listeners: [],
    acceptance: condition.noMatchingParent(why),
  });
  const subject = `${service.kind} ${service.namespace}/${service.name}`;
  const named = service.ports.filter(
    (p) =>
      (parentRef.port === undefined || p.port === parentRef.port) &&
      (parentRef.sectionName === undefined || p.name === parentRef.sectionName),
  );
  if (named.length === 0) return refuse(`${subject} has no such port; it has ${describePorts(service.ports)}`);
  const explicit = parentRef.port !== undefined || parentRef.sectionName !== undefined || service.ports.length === 1;
  const ports = named.filter((p) => carried.fits(p, explicit));
  if (ports.length === 0) {
    return refuse(`Ports ${describePorts(named)} of ${subject} are not declared to speak ${carried.protocol}; ${carried.remedy}`);
  }
  // A consumer route is told apart by the identity of clients, which choose among HTTP routes but not among connections.
  if (carried !== http && route.namespace !== service.namespace) {
    const why = `A ${route.kind.kind} holds for all clients of ${subject}, so it has to be in its namespace ${service.namespace}, not in ${route.namespace}`;
    return { parentRef, gateway: waypoint, listeners: [], acceptance: condition.notAllowed(why) };
  }
  const hosts = route.hostnames?.length ? [...new Set(route.hostnames.map((h) => h.toLowerCase()))] : [anyHost];
  const listeners = ports.map(({ port, protocol }): AttachedListener => ({
    chain: serviceChain(`${service.kind}/${service.key}`, port),
    owner: anyHost,
    entry: { scheme: 'http', port },
    hosts,
    valid: true,
    ...(carried === http && protocol === 'auto' && explicit && { declares: true }),
    ...(route.namespace !== service.namespace && { clientNamespace: route.namespace }),
  }));
  return { parentRef, gateway: waypoint, listeners, acceptance: condition.accepted };
}

function describePorts(ports: readonly MeshPort[]): string {
  return ports.map((p) => (p.name ? `${p.name}:${p.port}` : String(p.port))).join(', ');
}
