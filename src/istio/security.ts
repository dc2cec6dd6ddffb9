/**
 *   AuthorizationPolicies + Mesh ─> ParsedAuthorizations, by target ─> at(place): the Authorization of a virtual host, chain or route
 */
import type { Authorization } from '../ir/authorization.ts';
import { refKey } from '../ir/object-ref.ts';
import { type Collection, type Ctx, type Graph, deepEqual, map } from '../krt/index.ts';
import type { AuthorizationPolicy } from '../kube/types/istio-security.ts';
import { type ParsedAuthorization, authorizationOf, parseAuthorization } from './authorization.ts';
import { type Mesh, defaultMesh } from './mesh.ts';
import { type PolicyPlace, targetKeysOf } from './policy-target.ts';

/** Key of the only Mesh in its collection. */
export const meshKey = 'mesh';

export interface AuthorizationInputs {
  readonly authorizationPolicies: Collection<AuthorizationPolicy>;
  /** Empty: Istio's defaults hold. */
  readonly mesh: Collection<Mesh>;
  /** The cluster of a port of a host, for external authorization; undefined when nothing has that host. Absent: there is none. */
  readonly clusterOf?: (ctx: Ctx, host: string, port: number) => string | undefined;
}

export interface Authorizations {
  readonly policies: Collection<ParsedAuthorization>;
  /** What holds at a place; undefined: everybody may pass. To be called in a transform of a younger collection. */
  readonly at: (ctx: Ctx, place: PolicyPlace, identity: Authorization['identity']) => Authorization | undefined;
}

/** Reads all policies, each once. */
export function authorizations(g: Graph, inputs: AuthorizationInputs): Authorizations {
  const policies = map(g, inputs.authorizationPolicies, { name: 'Authorizations', equals: deepEqual }, (ctx, policy) => {
    const mesh = ctx.fetchOne(inputs.mesh, meshKey) ?? defaultMesh;
    const { clusterOf } = inputs;
    return parseAuthorization(policy, mesh, clusterOf && ((host, port) => clusterOf(ctx, host, port)));
  });
  const byTarget = policies.index('target', (p) => p.targets.map(refKey));
  const at: Authorizations['at'] = (ctx, place, identity) =>
    authorizationOf(
      targetKeysOf(place).flatMap((is) => ctx.fetch(policies, { index: byTarget, is })),
      identity,
    );
  return { policies, at };
}
