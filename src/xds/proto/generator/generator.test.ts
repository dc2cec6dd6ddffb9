import { expect, test } from 'vitest';
import { goStringBytes, rawDescriptors } from './descriptors.ts';
import { typeScriptNames } from './names.ts';
import { declarations, pruned, reachable } from './prune.ts';

test('Go string literals: escapes, octal, hexadecimal, code points and plain UTF-8', () => {
  expect(goStringBytes(String.raw`a\n\x12\xff\"\\\u00e9\101é\a`).toString('hex')).toBe('610a12ff225cc3a941c3a907');
  expect(() => goStringBytes(String.raw`\q`)).toThrow('unknown escape');
});

test('both forms of descriptor literals that protoc-gen-go has had', () => {
  const literal = ['const file_a_rawDesc = "" +', '\t"\\n" +', '\t"\\x01b\\"c"', '', 'var (', ')'].join('\n');
  expect(rawDescriptors(literal).map((b) => b.toString('hex'))).toEqual(['0a01622263']);
  expect(rawDescriptors('var file_b_rawDesc = []byte{\n\t0x0a, 0xff,\n}\n').map((b) => b.toString('hex'))).toEqual(['0aff']);
});

test('names: short when unique, with package segments when not, the core API first', () => {
  const names = typeScriptNames([
    'envoy.config.route.v3.Route',
    'envoy.extensions.filters.udp.udp_proxy.v3.Route',
    'envoy.config.rbac.v3.RBAC',
    'envoy.extensions.filters.http.rbac.v3.RBAC',
    'envoy.extensions.filters.network.rbac.v3.RBAC',
    'envoy.extensions.filters.network.rbac.v3.RBAC.EnforcementType',
    'envoy.config.filter.network.rbac.v2.RBAC',
    'envoy.config.cluster.v3.Cluster.DiscoveryType',
    'envoy.config.cluster.v3.Cluster',
    'envoy.config.listener.v3.Filter',
    'envoy.config.listener.v3.ListenerFilter',
    'envoy.config.cluster.v3.Filter',
  ]);
  expect([...names.values()]).toEqual([
    'Route',
    'UdpProxyRoute',
    'RBAC',
    'HttpRbacRBAC',
    'NetworkRbacRBAC',
    'NetworkRbacRBAC_EnforcementType',
    'Cluster_DiscoveryType',
    'Cluster',
    'ConfigListenerFilter',
    'ListenerFilter',
    'ClusterFilter',
  ]);
});

test('pruning keeps what the roots reach; a parent that nothing reaches becomes a namespace', () => {
  const all = declarations({
    nested: {
      a: {
        nested: {
          Root: { fields: { inner: { type: '.a.Outer.Inner', id: 1, options: { deprecated: true, '(validate)': 1 } } } },
          Outer: { fields: { unused: { type: '.a.Unused', id: 1 } }, nested: { Inner: { fields: { kind: { type: '.a.Kind', id: 1 } } } } },
          Unused: { fields: {} },
          Kind: { values: { A: 0 } },
        },
      },
    },
  });
  const names = reachable(all, ['a.Root']);
  expect(names).toEqual(['a.Kind', 'a.Outer.Inner', 'a.Root']);
  expect(pruned(all, names)).toEqual({
    nested: {
      a: {
        nested: {
          Kind: { values: { A: 0 } },
          Outer: { nested: { Inner: { fields: { kind: { type: '.a.Kind', id: 1 } } } } },
          Root: { fields: { inner: { type: '.a.Outer.Inner', id: 1, options: { deprecated: true } } } },
        },
      },
    },
  });
  expect(() => reachable(all, ['a.Rot'])).toThrow('names nothing');
  expect(reachable(all, ['a.*'])).toContain('a.Unused');
});
