/**
 * Whose waypoint serves what, decided as istiod decides it: the two must agree, since istiod sends the clients.
 *
 *   labels of the object, else of its namespace ─> [Waypoint] ─ may it be used from there, is it for such traffic ─> Binding
 *   MeshServices  ─> ServiceBindings  ─> BoundServices, of our waypoints alone, as primary or as canary
 *   MeshWorkloads ─> WorkloadBindings ─> BoundWorkloads
 */
import type { BoundService, BoundWorkload } from '../ir/mesh.ts';
import { selects } from '../gateway/labels.ts';
import type { LabelledService, WaypointLabels } from '../istio/services.ts';
import { waypointLabels } from '../istio/services.ts';
import type { LabelledWorkload } from '../istio/workloads.ts';
import { type Collection, type Ctx, type Graph, flatMap, map } from '../krt/index.ts';
import type { Namespace } from '../kube/types/core.ts';
import type { Waypoint } from './waypoints.ts';

/** Why a waypoint does not serve an object that names it: reason and message of istiod's condition `istio.io/WaypointBound`. */
export interface BindingProblem {
  readonly reason: 'WaypointIsNotReady' | 'AttachmentDenied' | 'UnsupportedTrafficType' | 'CanarySameAsPrimary' | 'CanaryInvalidWeight';
  readonly message: string;
}

export interface Canary {
  readonly waypoint: string;
  readonly ours: boolean;
  /** Percent of the connections. */
  readonly weight: number;
}

export type Binding =
  /** Nobody asked for a waypoint, or somebody asked for none. */
  | { readonly state: 'none' }
  | { readonly state: 'refused'; readonly problem: BindingProblem }
  | {
      readonly state: 'bound';
      readonly waypoint: string;
      readonly ours: boolean;
      readonly canary?: Canary;
      /** The traffic then all stays with the primary. */
      readonly canaryProblem?: BindingProblem;
    };

/** A namespace as far as binding is concerned. */
export interface MeshNamespace {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly waypoint: WaypointLabels;
}

export interface BindingInputs {
  readonly waypoints: Collection<Waypoint>;
  readonly namespaces: Collection<MeshNamespace>;
}

/** Namespaces by name. */
export function meshNamespaces(g: Graph, namespaces: Collection<Namespace>): Collection<MeshNamespace> {
  return map(g, namespaces, { name: 'MeshNamespaces' }, (_ctx, ns) => ({
    name: ns.metadata.name,
    labels: ns.metadata.labels ?? {},
    waypoint: waypointLabels(ns),
  }));
}

const none: Binding = { state: 'none' };

interface Named {
  readonly waypoint: string;
  /** Whose labels named it. */
  readonly by: 'object' | 'namespace';
  readonly labels: WaypointLabels;
}

/** The waypoint that the labels name. An object that names one does not fall back on its namespace's, ready or not. */
function namedWaypoint(ctx: Ctx, inputs: BindingInputs, namespace: string, own: WaypointLabels): Named | undefined {
  if (own.use !== undefined) return own.use === 'none' ? undefined : named(own, 'object');
  const inherited = ctx.fetchOne(inputs.namespaces, namespace)?.waypoint ?? {};
  return inherited.use === undefined || inherited.use === 'none' ? undefined : named(inherited, 'namespace');

  function named(labels: WaypointLabels, by: Named['by']): Named {
    return { waypoint: `${labels.useNamespace ?? namespace}/${labels.use}`, by, labels };
  }
}

/** The binding of a service. */
function bindService(ctx: Ctx, inputs: BindingInputs, { service, labels, gatewayOfIstio }: LabelledService): Binding {
  const wanted = gatewayOfIstio ? undefined : namedWaypoint(ctx, inputs, service.namespace, labels);
  if (!wanted) return none;
  const primary = usable(ctx, inputs, wanted.waypoint, service.namespace, 'service');
  if ('reason' in primary) return { state: 'refused', problem: primary };
  const canary = canaryOf(ctx, inputs, service.namespace, labels, primary);
  const bound = { state: 'bound', waypoint: primary.key, ours: primary.ours } as const;
  if (!canary) return bound;
  return 'reason' in canary ? { ...bound, canaryProblem: canary } : { ...bound, canary };
}

/** The binding of a workload, for clients that dial its own address. A waypoint's own Pods have none. */
function bindWorkload(ctx: Ctx, inputs: BindingInputs, { workload, labels, waypoint }: LabelledWorkload): Binding {
  const gateway = labels['gateway.networking.k8s.io/gateway-name'];
  if (gateway !== undefined && ctx.fetchOne(inputs.waypoints, `${workload.namespace}/${gateway}`)) return none;
  const wanted = namedWaypoint(ctx, inputs, workload.namespace, waypoint);
  if (!wanted) return none;
  const found = usable(ctx, inputs, wanted.waypoint, workload.namespace, 'workload');
  if (!('reason' in found)) return { state: 'bound', waypoint: found.key, ours: found.ours };
  // A namespace's waypoint for services is none for its workloads, and no mistake.
  return found.reason === 'UnsupportedTrafficType' && wanted.by === 'namespace' ? none : { state: 'refused', problem: found };
}

function usable(
  ctx: Ctx,
  inputs: BindingInputs,
  key: string,
  namespace: string,
  traffic: 'service' | 'workload',
): Waypoint | BindingProblem {
  const waypoint = ctx.fetchOne(inputs.waypoints, key);
  if (!waypoint) return { reason: 'WaypointIsNotReady', message: `waypoint "${key}" is not ready` };
  if (!allowsFrom(ctx, inputs, waypoint, namespace)) {
    return { reason: 'AttachmentDenied', message: `we are not permitted to attach to waypoint "${key}" (missing allowedRoutes?)` };
  }
  if (waypoint.trafficType !== traffic && waypoint.trafficType !== 'all') {
    const message = `attempting to bind to traffic type "${traffic}" which the waypoint "${key}" does not support`;
    return { reason: 'UnsupportedTrafficType', message };
  }
  return waypoint;
}

function allowsFrom(ctx: Ctx, inputs: BindingInputs, { namespaces, ...waypoint }: Waypoint, namespace: string): boolean {
  switch (namespaces.from ?? 'Same') {
    case 'All':
      return true;
    case 'Selector':
      return selects(namespaces.selector, ctx.fetchOne(inputs.namespaces, namespace)?.labels);
    default:
      return waypoint.namespace === namespace;
  }
}

/** Label and weight come each from the object, else from the namespace; from there only when the primary does too. */
function canaryOf(
  ctx: Ctx,
  inputs: BindingInputs,
  namespace: string,
  own: WaypointLabels,
  primary: Waypoint,
): Canary | BindingProblem | undefined {
  const inherited = own.use === undefined ? (ctx.fetchOne(inputs.namespaces, namespace)?.waypoint ?? {}) : {};
  const labels = own.canary === undefined && inherited.canary !== undefined ? inherited : own;
  if (labels.canary === undefined || labels.canary === '' || labels.canary === 'none') return undefined;
  const key = `${labels.canaryNamespace ?? namespace}/${labels.canary}`;
  if (key === primary.key) {
    return { reason: 'CanarySameAsPrimary', message: `canary waypoint "${key}" must differ from the primary waypoint` };
  }
  const weight = parseWeight(own.canaryWeight ?? inherited.canaryWeight);
  if (weight === undefined) {
    return { reason: 'CanaryInvalidWeight', message: `canary waypoint "${key}" has an invalid weight; must be an integer in [0,100]` };
  }
  const canary = usable(ctx, inputs, key, namespace, 'service');
  return 'reason' in canary ? canary : { waypoint: key, ours: canary.ours, weight };
}

function parseWeight(text: string | undefined): number | undefined {
  if (text === undefined) return 0;
  const weight = /^[+-]?[0-9]+$/.test(text) ? Number(text) : -1;
  return weight >= 0 && weight <= 100 ? weight : undefined;
}

/** The binding of each object, for whoever asks why a waypoint does or does not serve it. */
export interface BindingOf<T> {
  readonly of: T;
  readonly binding: Binding;
}

export interface Bindings {
  /** By `namespace/host`. */
  readonly services: Collection<BindingOf<LabelledService>>;
  /** By `Kind/namespace/name`. */
  readonly workloads: Collection<BindingOf<LabelledWorkload>>;
  readonly boundServices: Collection<BoundService>;
  readonly boundWorkloads: Collection<BoundWorkload>;
}

export interface BoundInputs extends BindingInputs {
  readonly services: Collection<LabelledService>;
  readonly workloads: Collection<LabelledWorkload>;
}

/** Builds the collections. A changed service changes its own entries and no other. */
export function bindings(g: Graph, inputs: BoundInputs): Bindings {
  const services = map(g, inputs.services, { name: 'ServiceBindings' }, (ctx, of) => ({ of, binding: bindService(ctx, inputs, of) }));
  const workloads = map(g, inputs.workloads, { name: 'WorkloadBindings' }, (ctx, of) => ({ of, binding: bindWorkload(ctx, inputs, of) }));
  const boundServices = flatMap(g, services, { name: 'BoundServices', key: (b: BoundService) => b.key }, (_ctx, b) => servedBy(b));
  const boundWorkloads = flatMap(g, workloads, { name: 'BoundWorkloads', key: (b: BoundWorkload) => b.key }, (_ctx, { of, binding }) =>
    binding.state === 'bound' && binding.ours
      ? [{ key: `${binding.waypoint}|${of.workload.key}`, waypoint: binding.waypoint, workload: of.workload }]
      : [],
  );
  return { services, workloads, boundServices, boundWorkloads };
}

function servedBy({ of: { service }, binding }: BindingOf<LabelledService>): readonly BoundService[] {
  if (binding.state !== 'bound') return [];
  const { waypoint, ours, canary } = binding;
  const place = (at: string, role: BoundService['role'], weight: number): BoundService => ({
    key: `${at}|${service.key}`,
    waypoint: at,
    role,
    weight,
    service,
  });
  return [
    ...(ours ? [place(waypoint, 'primary', 100 - (canary?.weight ?? 0))] : []),
    ...(canary?.ours ? [place(canary.waypoint, 'canary', canary.weight)] : []),
  ];
}
