/**
 * InferencePools as backends (Gateway API Inference Extension).
 *
 *   [backendRef] -> [InferencePool] ─┬─> Cluster of its Pods (pool-endpoints.ts), in which the picker chooses for each request
 *                                    └─> [Service] of its endpoint picker -> Cluster, which the proxy asks over ext_proc
 *   [ServedRoute]* of a pool ────────┬─> status, one entry a Gateway (inferencepool-status.ts)
 *                                    └─> WantedPods: nobody watches the Pods of a pool that no route of ours leads to
 */
import type { Cluster } from '../ir/backend.ts';
import { endpointPickerVariants, inferencePoolClusterName, inferencePoolStatName } from '../ir/names.ts';
import type { ObjectRef } from '../ir/object-ref.ts';
import { type Collection, type Ctx, type Graph, map } from '../krt/index.ts';
import type { InferencePool } from '../kube/types/inference.ts';
import { keyOf } from '../kube/types/meta.ts';
import { type BackendKind, unresolved } from './backendref.ts';
import { serviceCluster } from './service-backend.ts';
import type { ServiceView } from './views.ts';

const inferenceGroup = 'inference.networking.k8s.io';
const inferencePoolKind = 'InferencePool';

/** Who picks the endpoints of a pool: its cluster, or why there is none. */
export type PickerState =
  | { readonly state: 'found'; readonly at: { readonly cluster: Cluster; readonly authority: string } }
  /** The pool names none. */
  | { readonly state: 'absent' }
  | { readonly state: 'invalid'; readonly message: string };

/** An InferencePool as it was read. */
export interface InferencePoolView {
  /** `namespace/name`. */
  readonly key: string;
  readonly ref: ObjectRef;
  readonly generation: number;
  readonly matchLabels: Readonly<Record<string, string>>;
  readonly ports: readonly number[];
  readonly cluster: Cluster;
  /** Requests go on when the picker does not answer. */
  readonly failOpen: boolean;
  readonly picker: PickerState;
}

/** Reads the pools. */
export function inferencePools(
  g: Graph,
  pools: Collection<InferencePool>,
  services: Collection<ServiceView>,
): Collection<InferencePoolView> {
  return map(g, pools, { name: 'InferencePools' }, (ctx, pool) => viewOf(ctx, services, pool));
}

function viewOf(ctx: Ctx, services: Collection<ServiceView>, pool: InferencePool): InferencePoolView {
  const { metadata, spec } = pool;
  const { name, namespace = '' } = metadata;
  const ref: ObjectRef = { group: inferenceGroup, kind: inferencePoolKind, namespace, name };
  return {
    key: keyOf(pool),
    ref,
    generation: metadata.generation ?? 0,
    matchLabels: spec.selector.matchLabels,
    ports: spec.targetPorts.map((p) => p.number),
    cluster: {
      name: inferencePoolClusterName(namespace, name),
      statName: inferencePoolStatName(namespace, name),
      protocol: spec.appProtocol === 'kubernetes.io/h2c' ? 'http2' : 'http1',
      service: '',
      portName: '',
      discovery: { from: 'pods' },
      inference: 'pool',
      origin: ref,
    },
    failOpen: spec.endpointPickerRef?.failureMode === 'FailOpen',
    picker: pickerOf(ctx, services, namespace, spec.endpointPickerRef),
  };
}

function pickerOf(
  ctx: Ctx,
  services: Collection<ServiceView>,
  namespace: string,
  ref: InferencePool['spec']['endpointPickerRef'],
): PickerState {
  if (!ref) return { state: 'absent' };
  const invalid = (message: string): PickerState => ({ state: 'invalid', message: `spec.endpointPickerRef: ${message}` });
  const { group = '', kind = 'Service' } = ref;
  if (group !== '' || kind !== 'Service') return invalid(`${group || 'core'}/${kind} is not supported; use a Service`);
  const key = `${namespace}/${ref.name}`;
  const service = ctx.fetchOne(services, key);
  if (!service) return invalid(`Service ${key} not found`);
  if (service.external) return invalid(`Service ${key} is of type ExternalName, which is refused; use a Service with endpoints`);
  const ports = service.ports.filter((p) => p.protocol === 'TCP');
  const port = ports.find((p) => p.port === ref.port?.number);
  if (!port) return invalid(`Service ${key} has no TCP port ${ref.port?.number}; it has ${ports.map((p) => p.port).join(', ') || 'none'}`);
  const failOpen = ref.failureMode === 'FailOpen';
  const cluster: Cluster = {
    ...serviceCluster(service, port, 'http2', endpointPickerVariants[failOpen ? 'open' : 'close']),
    ...(failOpen && { inference: 'fail-open-picker' }),
    // Pickers make a certificate of their own at their start, which nobody can verify; a BackendTLSPolicy for the Service says how to.
    ...(port.appProtocol !== 'kubernetes.io/h2c' && { tls: { sni: '', trust: 'anybody', subjectAltNames: [] } }),
  };
  return { state: 'found', at: { cluster, authority: `${ref.name}.${namespace}.svc:${port.port}` } };
}

/** The kind InferencePool. Undefined: it is switched off. */
export function inferencePoolBackends(pools: Collection<InferencePoolView> | undefined): BackendKind {
  return {
    group: inferenceGroup,
    kind: inferencePoolKind,
    // The port of the reference says nothing (GIE: InferencePoolHTTPRoutePortValidation): those of the pool hold.
    resolve: (ctx, from, { namespace, name }) => {
      const key = `${namespace}/${name}`;
      if (!pools) return unresolved('InvalidKind', `InferencePool ${key}: not enabled; set inferenceExtension.enabled=true in the chart`);
      if (from.kind !== 'HTTPRoute' && from.kind !== 'GRPCRoute') {
        return unresolved('InvalidKind', `InferencePool ${key}: a ${from.kind} cannot lead there; use an HTTPRoute or GRPCRoute`);
      }
      const pool = ctx.fetchOne(pools, key);
      if (!pool) return unresolved('BackendNotFound', `InferencePool ${key} not found`);
      const { cluster, picker, failOpen } = pool;
      if (picker.state === 'found') return { ok: true, cluster, pool: key, picker: { ...picker.at, failOpen } };
      // A picker that is named, and not there, does not answer: FailOpen holds.
      if (picker.state === 'invalid' && failOpen) return { ok: true, cluster, pool: key };
      const why = picker.state === 'absent' ? 'spec.endpointPickerRef is required' : picker.message;
      return { ...unresolved('BackendNotFound', `InferencePool ${key}: ${why}`), pool: key };
    },
  };
}
