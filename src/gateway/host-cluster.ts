/**
 * Clusters of services that something other than a route names by host: providers of MeshConfig.
 *
 *   `ext-authz.auth.svc.cluster.local`, port ─┬─ Service ──────> Cluster <── EndpointSlices
 *                                             └─ ServiceEntry ─> Cluster <── its endpoints
 *
 * They are apart from those of routes (`variant`), as they may speak otherwise. MeshConfig is the administrator's, so no ReferenceGrant is asked for.
 */
import type { Cluster, Endpoints, UpstreamProtocol } from '../ir/backend.ts';
import type { MeshService } from '../ir/mesh.ts';
import { serviceEntryClusterName, serviceEntryStatName } from '../ir/names.ts';
import type { Collection, Ctx } from '../krt/index.ts';
import { type Slices, endpointsOf } from './endpoints.ts';
import { serviceCluster } from './service-backend.ts';
import { serviceEntryCluster } from './service-entry-cluster.ts';
import type { ServiceView } from './views.ts';

export interface HostClusterInputs {
  readonly services: Collection<ServiceView>;
  readonly slices: Slices;
  /** ServiceEntries with this host; absent without a mesh. */
  readonly entries?: (ctx: Ctx, host: string) => readonly MeshService[];
  /** Of clusters of ServiceEntries, by name. */
  readonly entryEndpoints?: Collection<Endpoints>;
}

/** What is named, and how it is spoken to. */
export interface HostTarget {
  readonly host: string;
  /** Of ServiceEntries; absent: any. */
  readonly namespace?: string;
  readonly port: number;
  readonly protocol: UpstreamProtocol;
  /** Tells the cluster apart from those of routes. */
  readonly variant: string;
}

/** Undefined when nothing has that host and port. */
export function hostCluster(ctx: Ctx, inputs: HostClusterInputs, target: HostTarget): Cluster | undefined {
  const { host, port, protocol, variant } = target;
  const [, name, namespace] = /^([^.]+)\.([^.]+)\.svc(?:\.|$)/.exec(host) ?? [];
  const service = namespace === undefined ? undefined : ctx.fetchOne(inputs.services, `${namespace}/${name}`);
  if (!service || service.external) return entryCluster(ctx, inputs, target);
  const found = service.ports.find((p) => p.port === port && p.protocol === 'TCP');
  return found && serviceCluster(service, found, protocol, variant);
}

/** The endpoints of such a cluster; undefined when the proxy resolves names. */
export function hostEndpoints(ctx: Ctx, inputs: HostClusterInputs, cluster: Cluster): Endpoints | undefined {
  if (!cluster.discovery) return endpointsOf(ctx, inputs, cluster);
  const { entryEndpoints } = inputs;
  const known = entryEndpoints && cluster.discovery.from === 'mesh' && ctx.fetchOne(entryEndpoints, cluster.name.replace(/~[^|]*/, ''));
  return known ? { ...known, cluster: cluster.name } : undefined;
}

function entryCluster(ctx: Ctx, inputs: HostClusterInputs, target: HostTarget): Cluster | undefined {
  const { host, port, protocol, variant } = target;
  const entry = inputs
    .entries?.(ctx, host)
    .find((e) => e.kind === 'ServiceEntry' && (target.namespace ?? e.namespace) === e.namespace && e.ports.some((p) => p.port === port));
  const found = entry?.ports.find((p) => p.port === port);
  const plain = entry && found && serviceEntryCluster(entry, found);
  if (!plain) return undefined;
  const apart = `${entry.namespace}~${variant}`;
  return { ...plain, protocol, name: serviceEntryClusterName(apart, host, port), statName: serviceEntryStatName(apart, host, port) };
}
