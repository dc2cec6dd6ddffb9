/**
 * Where security policies hold.
 *
 *   [AuthorizationPolicy, RequestAuthentication] -> targets <- [PolicyPlace]: what a request passes, by its waypoint or ingress
 *
 * Source: Istio, AuthorizationPolicy.targetRefs. A policy holds for the Gateways, Services and ServiceEntries of its own namespace, and from the
 * root namespace for all Gateways of a class. Selectors are for ztunnel and sidecars: they never hold at a waypoint or a Gateway of ours.
 */
import { type ObjectRef, refKey } from '../ir/object-ref.ts';
import type { PolicyScope, PolicyTargetReference } from '../kube/types/istio-security.ts';
import type { ObjectMeta } from '../kube/types/meta.ts';
import type { PolicyProblem } from './policy.ts';

interface NamespacedName {
  readonly namespace: string;
  readonly name: string;
}

/** Everything that a request passes and that a policy can target. */
export interface PolicyPlace {
  readonly gateway: NamespacedName;
  readonly gatewayClass: string;
  readonly services?: readonly NamespacedName[];
  readonly serviceEntries?: readonly NamespacedName[];
}

/** What a request passes that is for `origin`. Of workloads that is the waypoint itself: policies for Services are not for them. */
export function serviceOf(origin: ObjectRef): Pick<PolicyPlace, 'services' | 'serviceEntries'> {
  if (origin.kind === 'Gateway') return {};
  return origin.kind === 'ServiceEntry' ? { serviceEntries: [origin] } : { services: [origin] };
}

const gatewayApi = 'gateway.networking.k8s.io';
const networking = 'networking.istio.io';

/** Keys of the targets whose policies hold at a place: what to look up in the index `target` of the policies. */
export function targetKeysOf(place: PolicyPlace): readonly string[] {
  return [
    refKey({ group: gatewayApi, kind: 'GatewayClass', namespace: '', name: place.gatewayClass }),
    refKey({ group: gatewayApi, kind: 'Gateway', ...pick(place.gateway) }),
    ...(place.services ?? []).map((s) => refKey({ group: '', kind: 'Service', ...pick(s) })),
    ...(place.serviceEntries ?? []).map((s) => refKey({ group: networking, kind: 'ServiceEntry', ...pick(s) })),
  ];
}

function pick({ namespace, name }: NamespacedName): NamespacedName {
  return { namespace, name };
}

export interface ParsedTargets {
  readonly targets: readonly ObjectRef[];
  readonly problems: readonly PolicyProblem[];
}

/** Reads `targetRefs`, or `targetRef` when there are none. A reference that cannot hold is a problem and no target. */
export function parseTargets(scope: PolicyScope, meta: ObjectMeta, rootNamespace: string): ParsedTargets {
  const namespace = meta.namespace ?? '';
  const many = scope.targetRefs ?? [];
  const refs: readonly (readonly [string, PolicyTargetReference])[] =
    many.length > 0
      ? many.map((r, i) => [`spec.targetRefs[${i}]`, r] as const)
      : scope.targetRef
        ? [['spec.targetRef', scope.targetRef] as const]
        : [];
  const targets: ObjectRef[] = [];
  const problems: PolicyProblem[] = [];
  if (refs.length > 0 && scope.selector) {
    problems.push({ field: 'spec.selector', message: 'cannot be combined with targetRefs; remove one of them' });
  }
  for (const [field, ref] of refs) {
    const result = targetOf(ref, namespace, rootNamespace);
    if (typeof result === 'string') problems.push({ field, message: result });
    else targets.push(result);
  }
  return { targets, problems };
}

function targetOf(ref: PolicyTargetReference, namespace: string, rootNamespace: string): ObjectRef | string {
  const { kind, name } = ref;
  const group = ref.group === 'core' ? '' : (ref.group ?? '');
  if (ref.namespace && ref.namespace !== namespace) return 'cannot name an object of another namespace; remove namespace';
  if (group === gatewayApi && kind === 'GatewayClass') {
    if (namespace === rootNamespace) return { group, kind, namespace: '', name };
    return `only policies of the root namespace ${rootNamespace} hold for a GatewayClass; move the policy there, or target Gateways`;
  }
  const known =
    (group === gatewayApi && kind === 'Gateway') ||
    (group === '' && kind === 'Service') ||
    (group === networking && kind === 'ServiceEntry');
  if (known) return { group, kind, namespace, name };
  return `${kind} of group ${JSON.stringify(group)} cannot be targeted; use Service, ServiceEntry (${networking}), Gateway or GatewayClass (${gatewayApi})`;
}
