/** A Backend that leads wherever the Host header says, through a real Envoy: to hosts of the network, over TLS, and never into the proxy itself. */
import { hostname } from 'node:os';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Backend, gatewayOf, routeOf, startBackend } from '../backend.ts';
import { type LocalGateway, call, echoOf, eventually, startLocalGateway } from '../local.ts';
import { machineAddress } from '../machine.ts';

/** An address of this machine that is not loopback. */
const address = machineAddress();

let gateway: LocalGateway;
let one: Backend;

beforeAll(async () => {
  one = await startBackend('one', { address: '0.0.0.0' });
  gateway = await startLocalGateway(
    {
      'gateway.yaml': gatewayOf('{ name: http, protocol: HTTP, port: 80 }', '{ name: tcp, protocol: TCP, port: 81 }'),
      'backends.yaml': `---
apiVersion: gateway.kgateway.dev/v1alpha1
kind: Backend
metadata: { name: anywhere }
spec: { type: DynamicForwardProxy, dynamicForwardProxy: {} }
---
apiVersion: gateway.kgateway.dev/v1alpha1
kind: Backend
metadata: { name: secure }
spec: { dynamicForwardProxy: { enableTls: true } }
`,
      'routes.yaml':
        routeOf(
          'any',
          [],
          [
            '{ matches: [{ path: { value: /secure } }], backendRefs: [{ group: gateway.kgateway.dev, kind: Backend, name: secure }] }',
            '{ backendRefs: [{ group: gateway.kgateway.dev, kind: Backend, name: anywhere }] }',
          ],
          '{ name: gw, sectionName: http }',
        ) +
        `---
apiVersion: gateway.networking.k8s.io/v1
kind: TCPRoute
metadata: { name: tcp }
spec:
  parentRefs: [{ name: gw, sectionName: tcp }]
  rules: [{ backendRefs: [{ group: gateway.kgateway.dev, kind: Backend, name: anywhere }] }]
`,
    },
    [80, 81],
  );
  await eventually('Envoy serves', async () => (await get(`${address}:${one.port}`)).status === 200);
});

afterAll(async () => {
  expect(gateway.rejections()).toEqual([]);
  expect(gateway.problems()).toEqual([]);
  await gateway.stop();
  one.close();
});

const get = (host: string, path = '/') => call(gateway.port(80), path, { host });

test('a request goes to the host that it names', async () => {
  const host = `${address}:${one.port}`;
  expect(echoOf(await get(host))).toMatchObject({ service: 'one', host });
});

test.each(['127.0.0.1', '[::1]', '0.0.0.0', '[::ffff:127.0.0.1]', 'localhost', '127.1', '2130706433', '0x7f.0.0.1', '[::ffff:7f00:1]'])(
  '%s does not lead into the proxy',
  async (host) => {
    const answer = await get(`${host}:${gateway.adminPort}`, '/server_info');
    expect(answer.status, answer.body).toBeGreaterThanOrEqual(400);
    expect(answer.body).not.toContain('version');
    expect((await get(`${host}:${one.port}`)).status).not.toBe(200);
  },
);

test('neither does a name of its address', async () => {
  // The name of this machine may be of loopback, or not.
  const answer = await get(`${hostname()}:${gateway.adminPort}`, '/server_info');
  expect(answer.body).not.toContain('"version"');
});

test('a host without a name to resolve, and one that nothing resolves, get 503', async () => {
  expect((await get('no-such-host.invalid')).status).toBe(503);
});

test('TLS asks for a certificate by a CA of the system', async () => {
  expect(await get(`${address}:${one.port}`, '/secure')).toMatchObject({ status: 503, body: expect.stringMatching(/TLS|connect/i) });
});

test('a TCPRoute has no Host header to go by', () => {
  expect(JSON.stringify(gateway.status('TCPRoute default/tcp'))).toContain('"reason":"UnsupportedProtocol"');
});
