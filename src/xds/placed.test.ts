import { expect, test } from 'vitest';
import type { Endpoints, Place } from '../ir/backend.ts';
import { placedView } from './placed.ts';
import { decode } from './proto/index.ts';
import { TypeUrl, type XdsResource } from './resource.ts';
import type { ScopeView } from './store.ts';
import { encodeEndpoints } from './translate/cluster.ts';

const endpoints = (prefers: Endpoints['prefers']): Endpoints => ({
  cluster: 'c',
  endpoints: [
    { address: '10.0.0.1', port: 80, zone: 'z1', near: { zones: ['z1'], nodes: ['n1'] } },
    { address: '10.0.0.2', port: 80, zone: 'z1', near: { zones: ['z1'], nodes: ['n2'] } },
    { address: '10.0.0.3', port: 80, zone: 'z2', near: { zones: ['z2'], nodes: ['n3'] } },
  ],
  ...(prefers && { prefers }),
});

const resource = (placed: Endpoints): XdsResource => ({
  scope: 's',
  type: TypeUrl.endpoint,
  name: 'c',
  version: 'v',
  bytes: encodeEndpoints(placed),
  origins: [],
  clusters: [],
  ...(placed.prefers && { placed }),
});

const viewOf = (r: XdsResource): ScopeView => ({ get: () => r, names: () => ['c'] });

/** Addresses by priority. */
function seen(r: XdsResource | undefined): readonly (readonly string[])[] {
  const out: string[][] = [];
  for (const { priority = 0, lb_endpoints = [] } of decode('envoy.config.endpoint.v3.ClusterLoadAssignment', r?.bytes ?? new Uint8Array())
    .endpoints ?? []) {
    for (const e of lb_endpoints) (out[priority] ??= []).push(e.endpoint?.address?.socket_address?.address?.slice(-1) ?? '');
  }
  return out;
}

test.each<[Endpoints['prefers'], Place, readonly (readonly string[])[]]>([
  ['zone', { zone: 'z1', node: 'n1' }, [['1', '2'], ['3']]],
  ['zone', { zone: 'z2' }, [['3'], ['1', '2']]],
  ['zone', { zone: 'z9' }, [['1', '2', '3']]],
  ['zone', {}, [['1', '2', '3']]],
  ['node', { zone: 'z1', node: 'n1' }, [['1'], ['2'], ['3']]],
  ['node', { zone: 'z2', node: 'n2' }, [['2'], ['3'], ['1']]],
  ['node', { zone: 'z1', node: 'n9' }, [['1', '2'], ['3']]],
  ['node', { node: 'n3' }, [['3'], ['1', '2']]],
  [undefined, { zone: 'z1', node: 'n1' }, [['1', '2', '3']]],
])('%s, seen from %j', (prefers, place, expected) => {
  expect(seen(placedView(viewOf(resource(endpoints(prefers))), place).get(TypeUrl.endpoint, 'c'))).toEqual(expected);
});

test('one place has one resource, and all nodes of a zone the same bytes', () => {
  const placed = endpoints('zone');
  const at = (r: XdsResource, place: Place) => placedView(viewOf(r), place).get(TypeUrl.endpoint, 'c');
  const [one, other] = [resource(placed), resource(placed)];
  expect(at(one, { zone: 'z1', node: 'n1' })).toBe(at(one, { zone: 'z1', node: 'n2' }));
  expect(at(one, { zone: 'z1' })?.bytes).toBe(at(other, { zone: 'z1' })?.bytes);
  expect(at(one, { zone: 'z1' })?.version).not.toBe(at(one, { zone: 'z2' })?.version);
});
