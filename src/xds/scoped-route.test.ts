import { expect, test } from 'vitest';
import { decode, encode } from './proto/index.ts';
import { TypeUrl, versionOf } from './resource.ts';
import type { XdsResource } from './resource.ts';
import { distinctScopedRoute } from './scoped-route.ts';

const name = 'envoy.config.route.v3.ScopedRouteConfiguration';

function resource(bytes: Uint8Array): XdsResource {
  return { scope: 's', type: TypeUrl.scopedRoute, name: 'x', version: versionOf(bytes), bytes, origins: [], clusters: [] };
}

test('a scope sent again differs in metadata alone', () => {
  const scope = { name: 'x', route_configuration: { name: 'x', virtual_hosts: [{ name: 'v', domains: ['*'] }] } };
  const before = resource(encode(name, scope));
  const after = distinctScopedRoute(before, '7');
  expect(after.version).toBe(before.version);
  const metadata = { filter_metadata: { 'kgateway.xds': { fields: { sent: { string_value: '7' } } } } };
  expect(decode(name, after.bytes)).toEqual({ ...scope, route_configuration: { ...scope.route_configuration, metadata } });
});

test('a scope that names an RDS resource stays as it is', () => {
  const before = resource(encode(name, { name: 'x', route_configuration_name: 'r' }));
  expect(distinctScopedRoute(before, '7')).toBe(before);
});
