/**
 *   AuthorizationPolicies + Mesh ──> ParsedAuthorizations, by target ────> at(place): who may do what there
 *   RequestAuthentications + Mesh ─> ParsedAuthentications, by target ─┬─> at(place): whose tokens are believed there
 *                                      └─> wanted key sets ─> Jwks ────┘
 */
import type { Authorization } from '../ir/authorization.ts';
import type { JwtAuthentication } from '../ir/jwt.ts';
import { refKey } from '../ir/object-ref.ts';
import { type Collection, type Ctx, type Graph, flatMap, group, map } from '../krt/index.ts';
import type { AuthorizationPolicy, RequestAuthentication } from '../kube/types/istio-security.ts';
import { type ParsedAuthorization, authorizationOf, parseAuthorization } from './authorization.ts';
import type { ExtAuthzTarget } from './extension-provider.ts';
import { type Mesh, defaultMesh } from './mesh.ts';
import { type PolicyPlace, targetKeysOf } from './policy-target.ts';
import { type Jwks, type ParsedRequestAuthentication, jwksKeysOf, jwtOf, parseRequestAuthentication } from './requestauthentication.ts';

/** Key of the only Mesh in its collection. */
export const meshKey = 'mesh';

export interface AuthorizationInputs {
  readonly authorizationPolicies: Collection<AuthorizationPolicy>;
  /** Empty: Istio's defaults hold. */
  readonly mesh: Collection<Mesh>;
  /** The cluster of a provider of external authorization; undefined when nothing has its host and port. Absent: there is none. */
  readonly clusterOf?: (ctx: Ctx, target: ExtAuthzTarget) => string | undefined;
}

export interface RequestAuthenticationInputs {
  readonly requestAuthentications: Collection<RequestAuthentication>;
  readonly mesh: Collection<Mesh>;
  /** As far as they have been fetched. */
  readonly jwks: Collection<Jwks>;
}

export interface RequestAuthentications {
  readonly policies: Collection<ParsedRequestAuthentication>;
  /** What holds at a place; undefined: tokens are not looked at. */
  readonly at: (ctx: Ctx, place: PolicyPlace) => JwtAuthentication | undefined;
}

export interface Authorizations {
  readonly policies: Collection<ParsedAuthorization>;
  /** What holds at a place; undefined: everybody may pass. To be called in a transform of a younger collection. */
  readonly at: (ctx: Ctx, place: PolicyPlace, identity: Authorization['identity']) => Authorization | undefined;
}

/** Reads all policies, each once. */
export function authorizations(g: Graph, inputs: AuthorizationInputs): Authorizations {
  const policies = map(g, inputs.authorizationPolicies, { name: 'Authorizations' }, (ctx, policy) => {
    const mesh = ctx.fetchOne(inputs.mesh, meshKey) ?? defaultMesh;
    const { clusterOf } = inputs;
    return parseAuthorization(policy, mesh, clusterOf && ((target) => clusterOf(ctx, target)));
  });
  const byTarget = policies.index('target', (p) => p.targets.map(refKey));
  const at: Authorizations['at'] = (ctx, place, identity) =>
    authorizationOf(
      targetKeysOf(place).flatMap((is) => ctx.fetch(policies, { index: byTarget, is })),
      identity,
    );
  return { policies, at };
}

/** Keys of the key sets that policies need from elsewhere, each once. They depend on nothing but the policies, so that fetching can begin at once. */
export function wantedJwks(
  g: Graph,
  inputs: Pick<RequestAuthenticationInputs, 'requestAuthentications' | 'mesh'>,
): Pick<RequestAuthentications, 'policies'> & { readonly wanted: Collection<{ readonly key: string }> } {
  const policies = map(g, inputs.requestAuthentications, { name: 'RequestAuthentications' }, (ctx, policy) =>
    parseRequestAuthentication(policy, ctx.fetchOne(inputs.mesh, meshKey) ?? defaultMesh),
  );
  const key = (r: { readonly policy: string; readonly jwks: string }): string => `${r.policy}|${r.jwks}`;
  const references = flatMap(g, policies, { name: 'JwksReferences', key }, (_ctx, policy) =>
    jwksKeysOf(policy).map((jwks) => ({ policy: refKey(policy.ref), jwks })),
  );
  const byKey = group(
    g,
    { name: 'JwksReferencesByKey' },
    references.index('jwks', (r) => [r.jwks]),
  );
  return { policies, wanted: map(g, byKey, { name: 'WantedJwks' }, (_ctx, { key: jwks }) => ({ key: jwks })) };
}

/** Finds what holds where. */
export function requestAuthentications(policies: Collection<ParsedRequestAuthentication>, jwks: Collection<Jwks>): RequestAuthentications {
  const byTarget = policies.index('target', (p) => p.targets.map(refKey));
  const at: RequestAuthentications['at'] = (ctx, place) =>
    jwtOf(
      targetKeysOf(place).flatMap((is) => ctx.fetch(policies, { index: byTarget, is })),
      (key) => ctx.fetchOne(jwks, key)?.document,
    );
  return { policies, at };
}
