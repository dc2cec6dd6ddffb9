/** The cluster of a port of a ServiceEntry: [MeshService, MeshPort] -> Cluster. */
import type { Cluster } from '../ir/backend.ts';
import { type MeshPort, type MeshService, endpointOn } from '../ir/mesh.ts';
import { serviceEntryClusterName, serviceEntryStatName } from '../ir/names.ts';

/** Undefined for a Service, whose endpoints are elsewhere. */
export function serviceEntryCluster(
  { namespace, host, endpoints, origin, subjectAltNames }: MeshService,
  port: MeshPort,
): Cluster | undefined {
  const cluster: Cluster = {
    name: serviceEntryClusterName(namespace, host, port.port),
    statName: serviceEntryStatName(namespace, host, port.port),
    protocol: port.protocol === 'http2' || port.protocol === 'grpc' ? 'http2' : 'http1',
    service: '',
    portName: port.name,
    origin,
    ...(subjectAltNames && { subjectAltNames }),
  };
  switch (endpoints.from) {
    case 'static':
    case 'workloads':
      return { ...cluster, discovery: { from: 'mesh' } };
    case 'dns':
      return { ...cluster, discovery: { from: 'dns', endpoints: endpoints.endpoints.map((e) => endpointOn(e, port)) } };
    case 'original-destination':
      return { ...cluster, discovery: { from: 'original-destination', ...anotherPort(port) } };
    case 'request-host':
      return { ...cluster, discovery: { from: 'host', ...anotherPort(port) } };
    default:
      return undefined;
  }
}

function anotherPort({ port, targetPort = port }: MeshPort): { readonly port?: number } {
  return targetPort === port ? {} : { port: targetPort };
}
