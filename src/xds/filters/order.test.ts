import { expect, test } from 'vitest';
import type { CorsOrigin } from '../../ir/policy.ts';
import { unpack } from '../proto/index.ts';
import { policyFilters } from './order.ts';

test('a filter stays out of routes whose policies do not concern it, or switch it off', () => {
  for (const filter of policyFilters) {
    expect(filter.forRoute?.({})).toBeUndefined();
    expect(
      filter.forRoute?.({ timeouts: { requestMs: 1 }, cors: 'disabled', localRateLimit: 'disabled', buffer: 'disabled' }),
    ).toBeUndefined();
  }
});

test('preflights are answered first, who is not allowed takes no token, and refusals cost no buffering', () => {
  expect(policyFilters.map((f) => f.name)).toEqual([
    'envoy.filters.http.cors',
    'kgateway.rbac.custom',
    'kgateway.ext_authz',
    'kgateway.jwt_authn',
    'kgateway.rbac.audit',
    'kgateway.rbac.deny',
    'kgateway.rbac.allow',
    'kgateway.external_auth',
    'envoy.filters.http.local_ratelimit',
    'envoy.filters.http.buffer',
    'envoy.filters.http.stateful_session',
    'kgateway.transformation',
    'kgateway.header_transformation',
    'kgateway.endpoint_headers',
    'kgateway.endpoint_picker',
  ]);
});

// Gateway API: HTTPCORSFilter.allowOrigins. Envoy matches regular expressions against the whole origin.
test.each<[CorsOrigin, string, boolean]>([
  [{ kind: 'any' }, 'null', true],
  [{ kind: 'exact', origin: 'https://a.com' }, 'https://a.com', true],
  [{ kind: 'exact', origin: 'https://a.com' }, 'https://a.com:443', false],
  [{ kind: 'wildcard', scheme: 'https', suffix: '.bar.com' }, 'https://x.bar.com', true],
  [{ kind: 'wildcard', scheme: 'https', suffix: '.bar.com' }, 'https://x.y.bar.com', true],
  [{ kind: 'wildcard', scheme: 'https', suffix: '.bar.com' }, 'https://bar.com', false],
  [{ kind: 'wildcard', scheme: 'https', suffix: '.bar.com' }, 'https://xbar.com', false],
  [{ kind: 'wildcard', scheme: 'https', suffix: '.bar.com' }, 'https://x.barxcom', false],
  [{ kind: 'wildcard', scheme: 'https', suffix: '.bar.com' }, 'https://evil.com/.bar.com', false],
  [{ kind: 'wildcard', scheme: 'https', suffix: '.bar.com' }, 'https://x.bar.com:8443', false],
  [{ kind: 'wildcard', scheme: 'https', suffix: '.bar.com', port: 8443 }, 'https://x.bar.com:8443', true],
  [{ kind: 'wildcard', scheme: 'https', suffix: '.bar.com' }, 'http://x.bar.com', false],
  [{ kind: 'wildcard', scheme: 'http', suffix: '' }, 'http://anything', true],
])('%j allows %s: %j', (origin, text, expected) => {
  const [cors] = policyFilters;
  const policy = {
    allowOrigins: [origin],
    allowMethods: [],
    allowHeaders: [],
    exposeHeaders: [],
    allowCredentials: false,
    maxAgeSeconds: 5,
  };
  const config = cors?.forRoute?.({ cors: policy });
  if (!config) throw new Error('CORS is configured');
  const [matcher] = unpack('envoy.extensions.filters.http.cors.v3.CorsPolicy', config).allow_origin_string_match ?? [];
  const allowed = matcher?.exact !== undefined ? matcher.exact === text : new RegExp(`^(?:${matcher?.safe_regex?.regex})$`).test(text);
  expect(allowed).toBe(expected);
});
