/** Services whose label, or that of their namespace, names a waypoint of ours: [Service, Namespace, GatewayView] -> BoundService. */
import type { GatewayView } from '../gateway/gateway.ts';
import type { BoundService, MeshProtocol } from '../ir/mesh.ts';
import { type Collection, type Graph, map } from '../krt/index.ts';
import type { Namespace, Service } from '../kube/types/core.ts';
import { keyOf } from '../kube/types/meta.ts';

const label = 'istio.io/use-waypoint';
const protocols: readonly MeshProtocol[] = ['http', 'http2', 'grpc', 'grpc-web', 'tcp', 'tls'];

/** Finds them. */
export function servicesByLabel(
  g: Graph,
  inputs: { readonly services: Collection<Service>; readonly namespaces: Collection<Namespace> },
  gateways: Collection<GatewayView>,
): Collection<BoundService> {
  return map(g, inputs.services, { name: 'BoundServices', key: (b: BoundService) => b.key }, (ctx, object) => {
    const { name, namespace = '', labels = {} } = object.metadata;
    const use = labels[label] ?? ctx.fetchOne(inputs.namespaces, namespace)?.metadata.labels?.[label];
    if (use === undefined) return undefined;
    const waypoint = `${labels[`${label}-namespace`] ?? namespace}/${use}`;
    if (!ctx.fetchOne(gateways, waypoint)?.waypoint) return undefined;
    const host = `${name}.${namespace}.svc.cluster.local`;
    const addresses = (object.spec.clusterIPs ?? []).filter((ip) => ip !== 'None');
    const ports = (object.spec.ports ?? []).map((p) => {
      const prefix = (p.appProtocol ?? p.name ?? '').replace('kubernetes.io/h2c', 'http2').split('-')[0];
      return { port: p.port, name: p.name ?? '', protocol: protocols.find((x) => x === prefix) ?? 'auto' };
    });
    const origin = { group: '', kind: 'Service', namespace, name };
    const endpoints = { from: 'slices', service: keyOf(object) } as const;
    return {
      key: `${waypoint}|${namespace}/${host}`,
      waypoint,
      role: 'primary' as const,
      weight: 100,
      service: { key: `${namespace}/${host}`, kind: 'Service' as const, namespace, name, host, addresses, ports, endpoints, origin },
    };
  });
}
