import { expect, test } from 'vitest';
import { TypeUrl } from '../xds/resource.ts';
import { decode } from '../xds/proto/index.ts';
import { readGolden, translateYaml } from './golden.ts';

test.each([
  [true, ['heavy/1', 'heavy/0', 'exact/0', 'light/0']],
  [false, ['exact/0', 'light/0', 'heavy/1', 'heavy/0']],
])('with weighted routes %s the order of a host is %j', (weightedRoutes, expected) => {
  const { resources } = translateYaml(readGolden('route-annotations.yaml').input, { weightedRoutes });
  const scope = resources.find((r) => r.type === TypeUrl.scopedRoute && r.name === 'http-80:a.example.com');
  const { route_configuration } = decode('envoy.config.route.v3.ScopedRouteConfiguration', scope?.bytes ?? new Uint8Array());
  const names = (route_configuration?.virtual_hosts?.[0]?.routes ?? []).map((r) => r.name?.replace('httproute/default/', ''));
  expect(names.filter((name) => !name?.includes('no-route'))).toEqual(expected);
});
