/** Slim views of core objects, so that a change of what we do not read recomputes nothing. */
import { type Collection, type Graph, map } from '../krt/index.ts';
import type { Namespace, Service } from '../kube/types/core.ts';
import { keyOf } from '../kube/types/meta.ts';

export interface ServicePortView {
  readonly port: number;
  /** Name of the port: how EndpointSlices refer to it. */
  readonly name: string;
  readonly appProtocol: string | undefined;
  readonly protocol: string;
}

export interface ServiceView {
  readonly namespace: string;
  readonly name: string;
  readonly external: boolean;
  readonly ports: readonly ServicePortView[];
  /** Families in the order in which the user wants them; empty: as it comes. */
  readonly families: readonly ('IPv4' | 'IPv6')[];
  /** Which endpoints a proxy is to prefer; `hints`: those that EndpointSlices say. */
  readonly prefers?: 'zone' | 'node' | 'hints';
}

/** What routing needs to know of a Service; its addresses and status are not part of it. */
export function serviceViews(g: Graph, services: Collection<Service>): Collection<ServiceView> {
  return map(g, services, { name: 'ServiceViews' }, (_ctx, service): ServiceView => ({
    namespace: service.metadata.namespace ?? '',
    name: service.metadata.name,
    external: service.spec.type === 'ExternalName',
    ports: (service.spec.ports ?? []).map((p) => ({
      port: p.port,
      name: p.name ?? '',
      appProtocol: p.appProtocol,
      protocol: p.protocol ?? 'TCP',
    })),
    families: service.spec.ipFamilies ?? [],
    ...preferenceOf(service),
  }));
}

/** Kubernetes: Service.spec.trafficDistribution, and the annotation that was before it. `PreferClose` is the old name of `PreferSameZone`. */
function preferenceOf({ spec, metadata }: Service): Pick<ServiceView, 'prefers'> {
  switch (spec.trafficDistribution) {
    case 'PreferClose':
    case 'PreferSameZone':
      return { prefers: 'zone' };
    case 'PreferSameNode':
      return { prefers: 'node' };
    default: {
      const mode = metadata.annotations?.['service.kubernetes.io/topology-mode'];
      return mode?.toLowerCase() === 'auto' ? { prefers: 'hints' } : {};
    }
  }
}

export interface NamespaceView {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** Labels of namespaces: what selectors of `allowedRoutes` look at. */
export function namespaceViews(g: Graph, namespaces: Collection<Namespace>): Collection<NamespaceView> {
  return map(g, namespaces, { name: 'NamespaceViews' }, (_ctx, ns) => ({ name: keyOf(ns), labels: ns.metadata.labels ?? {} }));
}
