/** Which kinds are watched in a cluster, and where they go. */
import type { Wanted } from '../gateway/wanted.ts';
import type { Collection, Source } from '../krt/index.ts';
import type { KubeClient } from '../kube/client.ts';
import { type ReferencedReflector, reflectReferenced } from '../kube/referenced.ts';
import { type Reflector, type ReflectorOptions, reflect } from '../kube/reflector.ts';
import { type ObjectSelection, reflectSelected } from '../kube/selected.ts';
import {
  AuthorizationPolicies,
  BackendTLSPolicies,
  Backends,
  ConfigMaps,
  DestinationRules,
  DirectResponses,
  EndpointSlices,
  GatewayClasses,
  GatewayParameters,
  Gateways,
  HTTPRoutes,
  InferencePools,
  GRPCRoutes,
  IngressClasses,
  Ingresses,
  ListenerSets,
  Namespaces,
  Nodes,
  Pods,
  ReferenceGrants,
  RequestAuthentications,
  type Resource,
  Secrets,
  ServiceEntries,
  Services,
  Telemetries,
  TCPRoutes,
  TLSRoutes,
  TrafficPolicies,
  UDPRoutes,
  WorkloadEntries,
  XListenerSets,
  resourceName,
} from '../kube/resources.ts';
import type { Pod } from '../kube/types/core.ts';
import type { KubeObject } from '../kube/types/meta.ts';
import type { Logger } from './log.ts';
import { objectSources } from './object-sources.ts';
import type { Sources } from './sources.ts';

/** Kinds that are watched whole. Secrets and ConfigMaps are read only where they are referenced. */
export const watched: readonly Resource[] = [
  GatewayClasses,
  Gateways,
  HTTPRoutes,
  GRPCRoutes,
  TLSRoutes,
  TCPRoutes,
  UDPRoutes,
  ReferenceGrants,
  Services,
  EndpointSlices,
  Namespaces,
  Nodes,
  GatewayParameters,
  TrafficPolicies,
  Backends,
  DirectResponses,
  AuthorizationPolicies,
  RequestAuthentications,
  BackendTLSPolicies,
  ListenerSets,
  XListenerSets,
  Ingresses,
  IngressClasses,
];

/** Kinds that are watched for waypoints alone. Those of Istio may not be installed: then there are none. */
export const watchedForWaypoints: readonly Resource[] = [ServiceEntries, WorkloadEntries, DestinationRules, Pods, Telemetries];

/** Kinds that are watched for inference alone. Likewise. */
export const watchedForInference: readonly Resource[] = [InferencePools];

/** Which objects of kinds that are not watched whole are read. */
export type WantedParts = Wanted & { readonly pods: Collection<ObjectSelection> };

export interface Watches {
  readonly reflectors: readonly Reflector[];
  /** Resolves when all referenced Secrets and ConfigMaps were read. */
  settled(): Promise<void>;
  stop(): Promise<void>;
}

/** Starts all watches. Kinds that nobody wants count as empty. */
export function startWatches(
  client: KubeClient,
  sources: Sources,
  wanted: WantedParts,
  { waypoints, inference, log }: { readonly waypoints: boolean; readonly inference: boolean; readonly log: Logger },
): Watches {
  const byKind = objectSources(sources);
  const failed = (resource: Resource) => (error: Error) =>
    log.warn({ resource: resourceName(resource), err: error }, 'a watch failed; it goes on by itself');
  const optional = [waypoints ? watchedForWaypoints : [], inference ? watchedForInference : []].flat();
  const reflectors: Reflector[] = [...watched, ...optional].map((resource) => {
    const source = byKind[resource.kind] as Source<KubeObject>;
    return reflect(client, resource, source, { onError: failed(resource), ...parts.get(resource) });
  });
  for (const { kind } of [...watchedForWaypoints, ...watchedForInference]) {
    if (!optional.some((r) => r.kind === kind)) byKind[kind]?.markSynced();
  }
  const selected = waypoints
    ? []
    : [reflectSelected(client, Pods, wanted.pods, sources.pods, { onError: failed(Pods), project: (pod) => workloadPart(pod) as Pod })];
  const referenced: readonly ReferencedReflector[] = [
    reflectReferenced(client, Secrets, wanted.secrets, sources.secrets, { onError: failed(Secrets) }),
    reflectReferenced(client, ConfigMaps, wanted.configMaps, sources.configMaps, { onError: failed(ConfigMaps) }),
  ];
  return {
    get reflectors() {
      return [...reflectors, ...referenced, ...selected.flatMap((s) => s.reflectors)];
    },
    settled: async () => {
      await Promise.all([...referenced, ...selected].map((r) => r.settled()));
    },
    stop: async () => {
      await Promise.all([...reflectors, ...referenced, ...selected].map((r) => r.stop()));
    },
  };
}

/** Of large or restless kinds, what is read of them. */
const parts: ReadonlyMap<Resource, Pick<ReflectorOptions, 'metadataOnly' | 'project'>> = new Map<
  Resource,
  Pick<ReflectorOptions, 'metadataOnly' | 'project'>
>([
  [Pods, { project: workloadPart }],
  [Nodes, { metadataOnly: true, project: withoutAnnotations }],
]);

function withoutAnnotations(object: KubeObject): KubeObject {
  const { annotations: _, ...metadata } = object.metadata;
  return { ...object, metadata };
}

/** What binding and endpoints read of a Pod: a tenth of it. */
function workloadPart(object: KubeObject): KubeObject {
  const { spec, status, ...pod } = object as Pod;
  const { phase, podIPs, conditions } = status ?? {};
  return {
    ...pod,
    spec: {
      ...(spec.serviceAccountName !== undefined && { serviceAccountName: spec.serviceAccountName }),
      containers: spec.containers.map(({ name, ports }) => ({ name, ...(ports && { ports }) })),
    },
    status: {
      ...(phase !== undefined && { phase }),
      ...(podIPs && { podIPs }),
      ...(conditions && { conditions: conditions.filter((c) => c.type === 'Ready') }),
    },
  } as Pod;
}
