import type { CorsOrigin, CorsPolicy } from '../../ir/policy.ts';
import { escapeRegex } from '../../ir/regex.ts';
import { type StringMatcher, any } from '../proto/index.ts';
import type { PolicyFilter } from './order.ts';

/** CORS of a route: HTTPRoute's CORS filter and TrafficPolicy.cors. */
export const cors: PolicyFilter = {
  name: 'envoy.filters.http.cors',
  chain: any('envoy.extensions.filters.http.cors.v3.Cors', {}),
  forRoute: ({ cors: policy }) =>
    policy === undefined || policy === 'disabled' ? undefined : any('envoy.extensions.filters.http.cors.v3.CorsPolicy', corsPolicy(policy)),
};

function corsPolicy(policy: CorsPolicy) {
  const list = (values: readonly string[]) => (values.length > 0 ? values.join(',') : undefined);
  return {
    allow_origin_string_match: policy.allowOrigins.map(originMatcher),
    allow_methods: list(policy.allowMethods),
    allow_headers: list(policy.allowHeaders),
    expose_headers: list(policy.exposeHeaders),
    max_age: String(policy.maxAgeSeconds),
    allow_credentials: { value: policy.allowCredentials },
    // A preflight from elsewhere is answered without CORS headers and never reaches the backend (Gateway API: HTTPCORSFilter).
    forward_not_matching_preflights: { value: false },
  };
}

/** A wildcard stands for whole labels to its left, dots included; the scheme and port are literal. */
function originMatcher(origin: CorsOrigin): StringMatcher {
  if (origin.kind === 'any') return { safe_regex: { regex: '.*' } };
  if (origin.kind === 'exact') return { exact: origin.origin };
  const port = origin.port === undefined ? '' : `:${origin.port}`;
  return { safe_regex: { regex: `${origin.scheme}://[^/:]+${escapeRegex(origin.suffix)}${port}` } };
}
