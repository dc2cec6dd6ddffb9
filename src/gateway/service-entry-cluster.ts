/** The cluster of a port of a ServiceEntry: [MeshService, MeshPort] -> Cluster. */
import type { Cluster } from '../ir/backend.ts';
import { type MeshPort, type MeshService, endpointOn } from '../ir/mesh.ts';
import { serviceEntryClusterName, serviceEntryStatName } from '../ir/names.ts';

/** Undefined for a Service, whose endpoints are elsewhere. */
export function serviceEntryCluster({ namespace, host, endpoints, origin }: MeshService, port: MeshPort): Cluster | undefined {
  const cluster: Cluster = {
    name: serviceEntryClusterName(namespace, host, port.port),
    statName: serviceEntryStatName(namespace, host, port.port),
    protocol: port.protocol === 'http2' || port.protocol === 'grpc' ? 'http2' : 'http1',
    service: '',
    portName: port.name,
    origin,
  };
  switch (endpoints.from) {
    case 'static':
    case 'workloads':
      return { ...cluster, discovery: { from: 'mesh' } };
    case 'dns':
      return { ...cluster, discovery: { from: 'dns', endpoints: endpoints.endpoints.map((e) => endpointOn(e, port)) } };
    case 'original-destination': {
      const { port: asked, targetPort = asked } = port;
      return { ...cluster, discovery: { from: 'original-destination', ...(targetPort !== asked && { port: targetPort }) } };
    }
    case 'request-host':
      return { ...cluster, discovery: { from: 'host' } };
    default:
      return undefined;
  }
}
