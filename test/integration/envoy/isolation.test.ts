/** Listeners of one port: a request belongs to the most specific one, falls from its exact host to its wildcards, and never to another. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Backend, gatewayOf, routeOf, ruleOf, serviceOf, startBackend } from '../backend.ts';
import { type LocalGateway, call, eventually, startLocalGateway } from '../local.ts';

let gateway: LocalGateway;
let one: Backend;

const at = (path: string): string[] => [ruleOf(`{ path: { value: ${path} } }`)];
const section = (name: string): string => `{ name: gw, sectionName: ${name} }`;

beforeAll(async () => {
  one = await startBackend('one');
  gateway = await startLocalGateway(
    {
      'gateway.yaml': gatewayOf(
        '{ name: any, protocol: HTTP, port: 80 }',
        "{ name: com, protocol: HTTP, port: 80, hostname: '*.example.com' }",
        "{ name: foo, protocol: HTTP, port: 80, hostname: '*.foo.example.com' }",
        '{ name: abc, protocol: HTTP, port: 80, hostname: abc.foo.example.com }',
        '{ name: short, protocol: HTTP, port: 80, hostname: x.example.com }',
        '{ name: empty, protocol: HTTP, port: 80, hostname: empty.example.com }',
      ),
      'backends.yaml': serviceOf(one),
      'routes.yaml': [
        routeOf('any', [], at('/any'), section('any')),
        routeOf('any-host', ['bar.org'], at('/bar'), section('any')),
        routeOf('com', [], at('/com'), section('com')),
        routeOf('com-exact', ['b.example.com', 'x.example.com', 'abc.foo.example.com'], at('/b'), section('com')),
        routeOf('foo', [], at('/foo'), section('foo')),
        routeOf('foo-deep', ['*.deep.foo.example.com', 'z.deep.foo.example.com'], at('/deep'), section('foo')),
        routeOf('abc', [], at('/abc'), section('abc')),
        routeOf('short', [], at('/short'), section('short')),
      ].join(''),
    },
    [80],
  );
  await eventually(
    'Envoy serves',
    async () =>
      (await call(gateway.port(80), '/any')).status === 404 && (await call(gateway.port(80), '/any', { host: 'bar.org' })).status === 200,
  );
});

afterAll(async () => {
  expect(gateway.rejections()).toEqual([]);
  await gateway.stop();
  one.close();
});

const paths = ['/any', '/bar', '/com', '/b', '/foo', '/deep', '/abc', '/short'];

test.each([
  ['other.org', ['/any']],
  ['bar.org', ['/any', '/bar']],
  ['bar.com', ['/any']],
  ['example.com', ['/any']],
  ['a.example.com', ['/com']],
  ['b.example.com', ['/com', '/b']],
  ['x.example.com', ['/short']],
  ['empty.example.com', []],
  ['a.foo.example.com', ['/foo']],
  ['foo.example.com', ['/com']],
  ['y.deep.foo.example.com', ['/foo', '/deep']],
  ['z.deep.foo.example.com', ['/foo', '/deep']],
  ['abc.foo.example.com', ['/abc']],
  ['ABC.foo.Example.com.:80', ['/abc']],
])('%s is served %j', async (host, served) => {
  const statuses = await Promise.all(paths.map(async (path) => [path, (await call(gateway.port(80), path, { host })).status] as const));
  expect(statuses.filter(([, status]) => status === 200).map(([path]) => path)).toEqual(served);
  expect(statuses.every(([, status]) => status === 200 || status === 404)).toBe(true);
});
