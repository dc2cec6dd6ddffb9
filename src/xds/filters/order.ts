/**
 * The HTTP filters of every chain, in order. All are installed from the start, so that adding a policy never changes a listener, and none
 * is `disabled`: a filter that is disabled by default stays out of a request whose route is found only after the fallback to wildcard
 * hosts, and the policy would be bypassed (docs/decisions/0006-scoped-routes.md). Instead each does nothing unless a route configures it,
 * and scopes of exact hosts switch off those that none of their routes uses, which costs a request nothing.
 */
import type { Authorization } from '../../ir/authorization.ts';
import type { JwtAuthentication } from '../../ir/jwt.ts';
import type { RoutePolicies } from '../../ir/policy.ts';
import type { WeightedBackend } from '../../ir/route.ts';
import type { Any } from '../proto/index.ts';
import { remembered } from '../remembered.ts';
import { buffer } from './buffer.ts';
import { cors } from './cors.ts';
import { customAuthorization, externalAuth } from './ext-authz.ts';
import { endpointHeaders, endpointPicker } from './endpoint-picker.ts';
import { jwtAuthn } from './jwt-authn.ts';
import { localRateLimit } from './local-ratelimit.ts';
import { rbacFilters } from './rbac.ts';
import { statefulSession } from './stateful-session.ts';
import { headerTransformation, transformation } from './transformation.ts';

/** One Envoy HTTP filter that a policy of a route configures. */
export interface PolicyFilter {
  /** Its name in the chain and in `typed_per_filter_config`. */
  readonly name: string;
  /** Configuration in the chain: does nothing by itself. */
  readonly chain: Any;
  /** Only where the filter cannot be without effect in the chain: what makes it so, in every scope. */
  readonly noop?: Any;
  /** Configuration of a route; undefined when its policies do not concern the filter. */
  readonly forRoute?: (policies: RoutePolicies) => Any | undefined;
  /** Configuration of a share of a route's traffic; undefined when the backend does not concern the filter. */
  readonly forBackend?: (backend: WeightedBackend) => Any | undefined;
  /** Configuration of everything in a scope: what holds for whoever sends there, whichever route it takes. By one of the two, not by both together. */
  readonly forScope?: (security: ScopeSecurity) => Any | undefined;
}

/** What holds for all requests of a scope. */
export interface ScopeSecurity {
  readonly authorization?: Authorization;
  readonly jwt?: JwtAuthentication;
}

export const policyFilters: readonly PolicyFilter[] = [
  cors, // first: a preflight request carries no credentials and must be answered before anything refuses it
  ...customAuthorization, // CUSTOM policies come before tokens, as Istio orders them
  jwtAuthn, // who asks, before it matters
  ...rbacFilters, // before what costs: audit, deny, allow, as Istio orders them
  externalAuth, // of those who may ask at all
  localRateLimit, // before buffering: a request that is refused should cost nothing
  buffer, // whatever follows wants the body whole
  statefulSession, // before the request is rewritten: the token is the client's, and the backend does not see it in its answers
  transformation, // last, and first to see responses: it works on what the backend gets and sends
  headerTransformation, // the same, for directions that need no Lua
  endpointHeaders, // what follows is the only one to say where a request goes
  endpointPicker, // sees requests as model servers get them, and only those that nothing before refused
];

type FilterConfigs = Readonly<Record<string, Any>>;

function configsOf(security: ScopeSecurity): FilterConfigs {
  return Object.fromEntries(
    policyFilters.flatMap((filter) => {
      const config = filter.forScope?.(security);
      return config ? [[filter.name, config]] : [];
    }),
  );
}

// Every host behind a Gateway has them, and each change of a route makes the scope of its host anew.
const ofAuthorization = remembered((authorization: Authorization) => configsOf({ authorization }));
const ofTokens = remembered((jwt: JwtAuthentication) => configsOf({ jwt }));

/** What the security of a scope configures on its RouteConfiguration, by the name of the filter. */
export function scopeFilterConfigs({ authorization, jwt }: ScopeSecurity): FilterConfigs {
  return { ...(authorization && ofAuthorization(authorization)), ...(jwt && ofTokens(jwt)) };
}
