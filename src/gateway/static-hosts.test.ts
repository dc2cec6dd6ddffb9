import { expect, test } from 'vitest';
import type { Problem } from '../policy/problem.ts';
import { staticHosts } from './static-hosts.ts';

function read(...hosts: readonly string[]) {
  const problems: Problem[] = [];
  const discovery = staticHosts(
    hosts.map((host) => ({ host, port: 80 })),
    'spec.static.hosts',
    problems,
  );
  return { from: discovery.from, problems: problems.map((p) => p.field) };
}

test.each([
  '127.0.0.1',
  '127.8.9.10',
  '0.0.0.0',
  '169.254.169.254',
  '224.0.0.1',
  '255.255.255.255',
  '::1',
  '::',
  'fe80::1',
  'ff02::1',
  '::ffff:127.0.0.1',
  '::ffff:169.254.169.254',
  'localhost',
  'LOCALHOST.',
  'a.localhost',
  // Some resolvers take these for addresses.
  '127.1',
  '2130706433',
  '0x7f.1',
  '0x7f000001',
  '127.0.0.1.',
  'a b',
  '-a.example.com',
  'a..example.com',
  `${'a'.repeat(64)}.example.com`,
  '[::1]',
  'example.com:80',
  '*.example.com',
])('%s is refused', (host) => {
  expect(read(host).problems).toEqual(['spec.static.hosts[0].host']);
});

test.each([
  [['10.0.0.1', '2001:db8::1'], 'static'],
  [['api.example.com'], 'dns'],
  [['api.example.com.', '10.0.0.1', 'my_service', '1.example.com', 'x1'], 'dns'],
] as const)('%j are found by %s', (hosts, from) => {
  expect(read(...hosts)).toEqual({ from, problems: [] });
});
