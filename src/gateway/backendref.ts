/**
 * backendRefs of routes.
 *
 *   [backendRef] -> [ReferenceGrant] -> [Service port] -> [Cluster]
 *
 * A reference that does not resolve stays in the route with its weight and without a cluster, so that its share is answered with 500.
 */
import type { Cluster, UpstreamProtocol } from '../ir/backend.ts';
import { serviceClusterName, serviceStatName } from '../ir/names.ts';
import type { Collection, Ctx } from '../krt/index.ts';
import type { ParentReference } from '../kube/types/gateway-api.ts';
import { type UnresolvedReason, gatewayGroup } from './conditions.ts';
import { type Grants, type GrantSubject, isGranted } from './referencegrant.ts';
import type { ServicePortView, ServiceView } from './views.ts';

/** The part of a backendRef that names the target. */
export interface BackendTarget {
  readonly group?: string;
  readonly kind?: string;
  readonly namespace?: string;
  readonly name: string;
  readonly port?: number;
}

export type ResolvedBackend =
  { readonly ok: true; readonly cluster: Cluster } | { readonly ok: false; readonly reason: UnresolvedReason; readonly message: string };

export interface BackendInputs {
  readonly services: Collection<ServiceView>;
  readonly grants: Grants;
}

/** Resolves a backendRef of a route of `kind` in `namespace`. Source: Gateway API, BackendRef and ReferenceGrant. */
export function resolveBackend(ctx: Ctx, inputs: BackendInputs, from: GrantSubject, ref: BackendTarget): ResolvedBackend {
  const group = ref.group ?? '';
  const kind = ref.kind ?? 'Service';
  const namespace = ref.namespace ?? from.namespace;
  if (group !== '' || kind !== 'Service') {
    return unresolved('InvalidKind', `unknown backend kind: ${group || 'core'}/${kind}; use a Service`);
  }
  if (!isGranted(ctx, inputs.grants, from, { group, kind, namespace, name: ref.name })) {
    return unresolved(
      'RefNotPermitted',
      `Reference to Service ${namespace}/${ref.name} not permitted by ReferenceGrant; create one in namespace ${namespace} from ${from.kind} in ${from.namespace}`,
    );
  }
  const service = ctx.fetchOne(inputs.services, `${namespace}/${ref.name}`);
  if (!service) return unresolved('BackendNotFound', `Service ${namespace}/${ref.name} not found`);
  if (service.external) {
    return unresolved(
      'BackendNotFound',
      `Service ${namespace}/${ref.name} is of type ExternalName, which could lead anywhere and is refused; use a Service with endpoints`,
    );
  }
  if (ref.port === undefined) {
    return unresolved('BackendNotFound', `port is required for Service ${namespace}/${ref.name}; it has ${portsOf(service)}`);
  }
  const port = service.ports.find((p) => p.port === ref.port && (p.protocol === 'UDP') === (from.kind === 'UDPRoute'));
  if (!port) return unresolved('BackendNotFound', `Service ${namespace}/${ref.name} has no port ${ref.port}; it has ${portsOf(service)}`);
  // A port may be there twice, once a transport.
  if (port.protocol === 'UDP') return { ok: true, cluster: clusterOf(service, port, 'http1', 'udp') };
  const declared = upstreamProtocol(port);
  // gRPC is HTTP/2. Where the Service does not say so, HTTPRoutes to the same port go on as they are.
  return from.kind === 'GRPCRoute' && declared !== 'http2'
    ? { ok: true, cluster: clusterOf(service, port, 'http2', 'grpc') }
    : { ok: true, cluster: clusterOf(service, port, declared) };
}

/** The cluster of a port of a Service as it declares itself, the same for whoever leads there. */
export function serviceCluster(service: ServiceView, port: ServicePortView): Cluster {
  return clusterOf(service, port, upstreamProtocol(port));
}

function clusterOf(service: ServiceView, port: ServicePortView, protocol: UpstreamProtocol, variant = ''): Cluster {
  return {
    name: serviceClusterName(service.namespace, service.name, port.port, variant),
    statName: serviceStatName(service.namespace, service.name, port.port, variant),
    protocol,
    service: `${service.namespace}/${service.name}`,
    portName: port.name,
    origin: { group: '', kind: 'Service', namespace: service.namespace, name: service.name },
  };
}

/** What the port speaks: `appProtocol` first (GEP-1911), then the prefix of its name as in Istio, where gRPC-Web is HTTP/1.1. */
export function upstreamProtocol(port: ServicePortView): UpstreamProtocol {
  switch (port.appProtocol) {
    case 'kubernetes.io/h2c':
    case 'http2':
    case 'grpc':
      return 'http2';
    case undefined:
      return /^(http2|grpc)(-|$)/.test(port.name) && !/^grpc-web(-|$)/.test(port.name) ? 'http2' : 'http1';
    default:
      return 'http1';
  }
}

function portsOf(service: ServiceView): string {
  return service.ports.length === 0
    ? 'no ports'
    : `ports ${service.ports.map((p) => (p.protocol === 'UDP' ? `${p.port}/UDP` : p.port)).join(', ')}`;
}

function unresolved(reason: UnresolvedReason, message: string): ResolvedBackend {
  return { ok: false, reason, message };
}

/**
 * The subject of a reference out of a route. One whose parents are all Services needs no consent to lead back to those: it holds for clients that
 * reach them without it (GAMMA: consumer routes). With a Gateway among its parents it would open them to whoever reaches that.
 */
export function routeSubject(kind: string, namespace: string, parents: readonly ParentReference[] = []): GrantSubject {
  const isService = (p: ParentReference): boolean => (p.group === '' || p.group === 'core') && p.kind === 'Service';
  const services = parents.every(isService) ? parents.map((p) => `${p.namespace ?? namespace}/${p.name}`) : [];
  return { group: gatewayGroup, kind, namespace, ...(services.length > 0 && { services }) };
}
