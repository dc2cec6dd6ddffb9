/**
 * No object reads across namespaces without the consent of the other side.
 *
 *   [Gateway | HTTPRoute | ...] -> [ReferenceGrant in the namespace of the target] -> [Secret | Service | ...]
 */
import type { Collection, Ctx, Index } from '../krt/index.ts';
import type { ReferenceGrant } from '../kube/types/gateway-api.ts';

export interface GrantSubject {
  readonly group: string;
  readonly kind: string;
  readonly namespace: string;
  /** `namespace/name` of Services that it may name without a grant; see `routeSubject`. */
  readonly services?: readonly string[];
}

export interface GrantTarget {
  readonly group: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
}

export interface Grants {
  readonly byNamespace: Index<ReferenceGrant>;
  readonly collection: Collection<ReferenceGrant>;
}

function namespaceOf(grant: ReferenceGrant): readonly string[] {
  return [grant.metadata.namespace ?? ''];
}

/** Indexes the grants by the namespace that they open. */
export function grantsOf(collection: Collection<ReferenceGrant>): Grants {
  return { collection, byNamespace: collection.index('namespace', namespaceOf) };
}

/** True when the reference stays in its namespace or a grant allows it. Source: Gateway API, ReferenceGrant. */
export function isGranted(ctx: Ctx, grants: Grants, from: GrantSubject, to: GrantTarget): boolean {
  if (from.namespace === to.namespace) return true;
  if (to.group === '' && to.kind === 'Service' && from.services?.includes(`${to.namespace}/${to.name}`)) return true;
  return ctx
    .fetch(grants.collection, { index: grants.byNamespace, is: to.namespace })
    .some(
      ({ spec }) =>
        spec.from.some((f) => f.group === from.group && f.kind === from.kind && f.namespace === from.namespace) &&
        spec.to.some((t) => t.group === to.group && t.kind === to.kind && (t.name === undefined || t.name === to.name)),
    );
}

/** `namespace/name` of the Secret or ConfigMap that a reference of `from` names, where it may be read. Nothing else is ever fetched. */
export function readableKey(
  ctx: Ctx,
  grants: Grants,
  from: GrantSubject,
  { kind, namespace = from.namespace, name }: { readonly kind: 'Secret' | 'ConfigMap'; readonly namespace?: string; readonly name: string },
): string | undefined {
  return isGranted(ctx, grants, from, { group: '', kind, namespace, name }) ? `${namespace}/${name}` : undefined;
}

/** Said of a reference without consent, behind the words "reference to". */
export function notPermitted(from: GrantSubject, { kind, namespace, name }: Omit<GrantTarget, 'group'>): string {
  return `${kind} ${namespace}/${name} not permitted by ReferenceGrant; create one in namespace ${namespace} from ${from.kind} in ${from.namespace}`;
}
