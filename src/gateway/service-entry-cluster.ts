/** The cluster of a port of a ServiceEntry, as far as we can reach what is behind it: [MeshService, MeshPort] -> Cluster. */
import type { Cluster } from '../ir/backend.ts';
import type { MeshPort, MeshService } from '../ir/mesh.ts';
import { serviceEntryClusterName, serviceEntryStatName } from '../ir/names.ts';

/**
 * Undefined for resolution NONE and DYNAMIC_DNS: there the destination is what the client asked for, and to dial that from a waypoint would lead
 * back to the waypoint.
 */
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
    case 'dns': {
      const at = endpoints.endpoints.map((e) => ({
        address: e.address,
        port: e.ports[port.name] ?? port.targetPort ?? port.port,
        ...(e.zone !== undefined && { zone: e.zone }),
      }));
      return { ...cluster, discovery: { from: 'dns', endpoints: at } };
    }
    default:
      return undefined;
  }
}
