/** Services as backends: [Service port] -> Cluster, the same for whoever leads there. */
import type { Cluster, UpstreamProtocol } from '../ir/backend.ts';
import { serviceClusterName, serviceStatName, udpVariant } from '../ir/names.ts';
import type { Collection } from '../krt/index.ts';
import { type BackendKind, unresolved } from './backendref.ts';
import type { ServicePortView, ServiceView } from './views.ts';

/** The kind Service. */
export function serviceBackends(services: Collection<ServiceView>): BackendKind {
  return {
    group: '',
    kind: 'Service',
    resolve: (ctx, from, ref) => {
      const key = `${ref.namespace}/${ref.name}`;
      const service = ctx.fetchOne(services, key);
      if (!service) return unresolved('BackendNotFound', `Service ${key} not found`);
      if (service.external) {
        return unresolved(
          'BackendNotFound',
          `Service ${key} is of type ExternalName, which could lead anywhere and is refused; use a Service with endpoints`,
        );
      }
      if (ref.port === undefined) {
        return unresolved('BackendNotFound', `port is required for Service ${key}; it has ${portsOf(service)}`);
      }
      const port = service.ports.find((p) => p.port === ref.port && (p.protocol === 'UDP') === (from.kind === 'UDPRoute'));
      if (!port) return unresolved('BackendNotFound', `Service ${key} has no port ${ref.port}; it has ${portsOf(service)}`);
      // A port may be there twice, once a transport.
      if (port.protocol === 'UDP') return { ok: true, cluster: serviceCluster(service, port, 'http1', udpVariant) };
      // gRPC is HTTP/2. Where the Service does not say so, HTTPRoutes to the same port go on as they are.
      const undeclared = (from.kind === 'GRPCRoute' || ref.protocol === 'http2') && upstreamProtocol(port) !== 'http2';
      return { ok: true, cluster: undeclared ? serviceCluster(service, port, 'http2', 'grpc') : serviceCluster(service, port) };
    },
  };
}

/** The cluster of a port of a Service, the same for whoever leads there. One that speaks otherwise than the port declares is a variant. */
export function serviceCluster(service: ServiceView, port: ServicePortView, protocol = upstreamProtocol(port), variant = ''): Cluster {
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
