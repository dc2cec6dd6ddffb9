/** What metrics say about a service, as metadata of clusters, virtual hosts and endpoints: istio-metrics.ts reads it there. */
import type { Cluster } from '../../ir/backend.ts';
import { hostOfServiceChain, partsOfCluster } from '../../ir/names.ts';
import { serviceKey } from '../../ir/object-ref.ts';
import { serviceMetadata } from '../../ir/telemetry.ts';
import type { ServiceRoutes, ServiceScope } from '../../ir/waypoint.ts';
import type { Metadata } from '../proto/index.ts';

/** Of the cluster of a port of a Service or ServiceEntry; undefined for any other. */
export function clusterFacts({ name, origin }: Pick<Cluster, 'name'> & Partial<Cluster>): Metadata | undefined {
  const parts = partsOfCluster(name);
  return parts && origin && service(parts.host, origin);
}

/** Of a service that a scope is for. */
export function placeFacts({ origin }: ServiceScope, { byDefault }: ServiceRoutes): Metadata | undefined {
  const host = hostOfServiceChain(byDefault.name);
  return host === undefined ? undefined : service(host, origin);
}

/** Of an endpoint. */
export function endpointFacts(workload: string): Metadata {
  return facts({ workload });
}

/** A ServiceEntry is called by its host, as by Istio. */
function service(host: string, origin: Cluster['origin']): Metadata {
  const { kind, namespace, name } = origin;
  return facts({ host, name: kind === 'Service' ? name : host, namespace, object: serviceKey(origin) });
}

function facts(values: Readonly<Record<string, string>>): Metadata {
  const fields = Object.fromEntries(Object.entries(values).map(([key, string_value]) => [key, { string_value }]));
  return { filter_metadata: { [serviceMetadata]: { fields } } };
}
