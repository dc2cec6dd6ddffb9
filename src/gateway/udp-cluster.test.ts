import { expect, test } from 'vitest';
import type { TcpBackend } from '../ir/tcp.ts';
import { udpCluster } from './udp-cluster.ts';

const route = { group: 'gateway.networking.k8s.io', kind: 'UDPRoute', namespace: 'demo', name: 'dns' };

test.each<[string, readonly TcpBackend[], string | undefined]>([
  ['no backend', [], undefined],
  ['only invalid ones', [{ weight: 1 }, { weight: 2 }], undefined],
  ['one', [{ cluster: 'a', weight: 5 }], 'a'],
  [
    'two',
    [
      { cluster: 'a', weight: 5 },
      { cluster: 'b', weight: 5 },
    ],
    'udproute|demo|dns',
  ],
  ['one and an invalid one, whose share is dropped', [{ cluster: 'a', weight: 5 }, { weight: 1 }], 'udproute|demo|dns'],
])('%s', (_what, backends, expected) => {
  expect(udpCluster({ backends, route })).toBe(expected);
});
