/**
 * [JwtAuthentication] -> jwt_authn, whole on each scope.
 *
 * On a route jwt_authn itself can only choose among requirements of the listener: so it stands in a composite filter, and a new key of an
 * issuer changes no listener.
 */
import type { JwtAuthentication, JwtProvider } from '../../ir/jwt.ts';
import { type Any, type JwtProvider as Provider, type JwtRequirement, any } from '../proto/index.ts';
import { compositeFilter } from './composite.ts';
import type { PolicyFilter } from './order.ts';
import { jwtMetadata } from './rbac-rule.ts';

/** RequestAuthentications of a scope. */
export const jwtAuthn: PolicyFilter = compositeFilter(
  'kgateway.jwt_authn',
  'envoy.filters.http.jwt_authn',
  ({ jwt }) => jwt && jwtAuthentication(jwt),
);

function jwtAuthentication({ providers }: JwtAuthentication): Any {
  return any('envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication', {
    providers: Object.fromEntries(providers.map((p) => [p.name, providerOf(p)])),
    rules: [{ match: { prefix: '/' }, requires: requirementOf(providers.map((p) => p.name)) }],
    bypass_cors_preflight: true,
  });
}

/**
 * A token that is there must be valid. With several providers: one of them accepts it, or none finds one where it looks
 * (Istio: RequestAuthentication.jwtRules).
 */
function requirementOf(names: readonly string[]): JwtRequirement {
  const either = (requirements: readonly JwtRequirement[]): JwtRequirement => ({ requires_any: { requirements } });
  const optional = names.map((provider_name) => either([{ provider_name }, { allow_missing: {} }]));
  const [only, ...others] = optional;
  if (only && others.length === 0) return only;
  return either([...names.map((provider_name) => ({ provider_name })), { requires_all: { requirements: optional } }]);
}

function providerOf(p: JwtProvider): Provider {
  return {
    issuer: p.issuer,
    audiences: [...p.audiences],
    local_jwks: { inline_string: p.jwks },
    forward: p.forward,
    from_headers: p.fromHeaders.map(({ name, prefix }) => ({ name, value_prefix: prefix })),
    from_params: [...p.fromParams],
    from_cookies: [...p.fromCookies],
    ...(p.payloadHeader !== undefined && { forward_payload_header: p.payloadHeader }),
    claim_to_headers: p.claimHeaders.map(({ header, claim }) => ({ header_name: header, claim_name: claim })),
    payload_in_metadata: jwtMetadata.key,
    normalize_payload_in_metadata: { space_delimited_claims: [...new Set(['scope', 'permission', ...p.spaceDelimitedClaims])] },
  };
}
