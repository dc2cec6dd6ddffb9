/**
 * backendRefs of routes, mirrors and policies, whatever kind they name.
 *
 *   [backendRef] -> [BackendKind] of its group and kind -> [ReferenceGrant] -> [Cluster]
 *                   Service (service-backend.ts)
 *
 * A reference that does not resolve stays in the route with its weight and without a cluster, so that its share is answered with 500.
 */
import type { Cluster } from '../ir/backend.ts';
import type { EndpointPicker } from '../ir/route.ts';
import type { Ctx } from '../krt/index.ts';
import type { ParentReference } from '../kube/types/gateway-api.ts';
import { type UnresolvedReason, gatewayGroup } from './conditions.ts';
import { type Grants, type GrantSubject, isGranted, notPermitted } from './referencegrant.ts';

/** The part of a backendRef that names the target. */
export interface BackendTarget {
  readonly group?: string;
  readonly kind?: string;
  readonly namespace?: string;
  readonly name: string;
  readonly port?: number;
  /** What is spoken there, where its port does not say so. */
  readonly protocol?: 'http2';
}

export type ResolvedBackend = (
  | { readonly ok: true; readonly cluster: Cluster; readonly picker?: Omit<EndpointPicker, 'cluster'> & { readonly cluster: Cluster } }
  | { readonly ok: false; readonly reason: UnresolvedReason; readonly message: string }
) & {
  /** The InferencePool that it is, `namespace/name`. */
  readonly pool?: string;
};

/** A target whose kind is known and which the reference may name. */
export type PermittedTarget = Required<Pick<BackendTarget, 'namespace' | 'name'>> & Pick<BackendTarget, 'port' | 'protocol'>;

/** A kind that backendRefs may name: a further kind is a further one of these. */
export interface BackendKind {
  readonly group: string;
  readonly kind: string;
  /** Called only where the reference stays in its namespace or a ReferenceGrant allows it. `from` is the object that refers, a route most often. */
  readonly resolve: (ctx: Ctx, from: GrantSubject, target: PermittedTarget) => ResolvedBackend;
}

export interface BackendInputs {
  readonly kinds: readonly BackendKind[];
  readonly grants: Grants;
}

/** Resolves a backendRef of `from`. Source: Gateway API, BackendRef and ReferenceGrant. */
export function resolveBackend(ctx: Ctx, inputs: BackendInputs, from: GrantSubject, ref: BackendTarget): ResolvedBackend {
  const group = ref.group ?? '';
  const kind = ref.kind ?? 'Service';
  const namespace = ref.namespace ?? from.namespace;
  const known = inputs.kinds.find((k) => k.group === group && k.kind === kind);
  if (!known) {
    const use = inputs.kinds.map((k) => (k.group === '' ? k.kind : `${k.group}/${k.kind}`)).join(' or ');
    return unresolved('InvalidKind', `unknown backend kind: ${group || 'core'}/${kind}; use a ${use}`);
  }
  const target = { group, kind, namespace, name: ref.name };
  if (!isGranted(ctx, inputs.grants, from, target)) return unresolved('RefNotPermitted', `Reference to ${notPermitted(from, target)}`);
  const { name, port, protocol } = ref;
  return known.resolve(ctx, from, { namespace, name, ...(port !== undefined && { port }), ...(protocol && { protocol }) });
}

/** The answer of a kind that cannot lead anywhere; the message says what to do. */
export function unresolved(reason: UnresolvedReason, message: string): ResolvedBackend {
  return { ok: false, reason, message };
}

/**
 * The subject of a reference out of a route. One whose parents are all Services needs no consent to lead back to those: it holds for clients that
 * reach them without it (GAMMA: consumer routes). With a Gateway among its parents it would open them to whoever reaches that.
 */
export function routeSubject(kind: string, namespace: string, parents: readonly ParentReference[] = []): GrantSubject {
  const isService = (p: ParentReference): boolean => (p.group === '' || p.group === 'core') && p.kind === 'Service';
  const services = parents.every(isService) ? parents.map((p) => `${p.namespace ?? namespace}/${p.name}`) : [];
  return { group: gatewayGroup, kind, namespace, ...(services.length > 0 && { services }) };
}
