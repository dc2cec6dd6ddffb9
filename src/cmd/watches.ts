/** Which kinds are watched in a cluster, and where they go. */
import type { Collection, Source } from '../krt/index.ts';
import type { KubeClient } from '../kube/client.ts';
import { type ReferencedReflector, reflectReferenced } from '../kube/referenced.ts';
import { type Reflector, reflect } from '../kube/reflector.ts';
import {
  AuthorizationPolicies,
  ConfigMaps,
  EndpointSlices,
  GatewayClasses,
  GatewayParameters,
  Gateways,
  HTTPRoutes,
  GRPCRoutes,
  Namespaces,
  ReferenceGrants,
  type Resource,
  Secrets,
  Services,
  TrafficPolicies,
  resourceName,
} from '../kube/resources.ts';
import { meshConfigMap } from '../istio/mesh.ts';
import type { KubeObject } from '../kube/types/meta.ts';
import type { Logger } from './log.ts';
import { objectSources } from './object-sources.ts';
import type { Sources } from './sources.ts';

/** Kinds that are watched whole. Secrets are read only where they are referenced. */
export const watched: readonly Resource[] = [
  GatewayClasses,
  Gateways,
  HTTPRoutes,
  GRPCRoutes,
  ReferenceGrants,
  Services,
  EndpointSlices,
  Namespaces,
  GatewayParameters,
  TrafficPolicies,
  AuthorizationPolicies,
];

export interface Watches {
  readonly reflectors: readonly Reflector[];
  /** Resolves when all referenced Secrets were read. */
  settled(): Promise<void>;
  stop(): Promise<void>;
}

/** Starts all watches. */
export function startWatches(
  client: KubeClient,
  sources: Sources,
  wantedSecrets: Collection<{ readonly key: string }>,
  istioNamespace: string,
  log: Logger,
): Watches {
  const byKind = objectSources(sources);
  const failed = (resource: Resource) => (error: Error) =>
    log.warn({ resource: resourceName(resource), err: error }, 'a watch failed; it goes on by itself');
  const reflectors: Reflector[] = watched.map((resource) => {
    const source = byKind[resource.kind] as Source<KubeObject>;
    return reflect(client, resource, source, { onError: failed(resource) });
  });
  // The one ConfigMap that is read: what it holds concerns everything, and nobody else's are any of our business.
  const mesh = { namespace: istioNamespace, fieldSelector: `metadata.name=${meshConfigMap}` };
  reflectors.push(reflect(client, ConfigMaps, sources.configMaps, { ...mesh, onError: failed(ConfigMaps) }));
  const secrets: ReferencedReflector = reflectReferenced(client, Secrets, wantedSecrets, sources.secrets, { onError: failed(Secrets) });
  return {
    reflectors: [...reflectors, secrets],
    settled: () => secrets.settled(),
    stop: async () => {
      await Promise.all([...reflectors, secrets].map((r) => r.stop()));
    },
  };
}
