/** Telemetry for some of the services of a waypoint: of a Service, of a ServiceEntry, of a namespace. All others are told of as before. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Backend, objectOf, startBackend } from '../backend.ts';
import { type L4Backend, startEchoBackend } from '../l4.ts';
import { type LocalGateway, eventually, startLocalGateway } from '../local.ts';
import { conditionOf, linesOf, seriesOf, telemetry } from '../telemetry.ts';
import { callWaypoint, echoed } from '../waypoint-client.ts';
import { fileAccessLog, meshConfigMap, waypointGateway, waypointService } from '../waypoint.ts';

let gateway: LocalGateway;
let backend: Backend;
let tcp: Pick<L4Backend, 'port' | 'close'>;
const folder = mkdtempSync(join(tmpdir(), 'kgateway-telemetry-'));
const { series, counted } = seriesOf(() => gateway.adminPort);
const addresses = { echo: '10.96.0.1', other: '10.96.0.2', cart: '10.96.0.3', bank: '240.240.0.1', nobody: '10.96.0.9' };

const get = (to: keyof typeof addresses, path: string) => callWaypoint(gateway.port(15_088), path, { address: addresses[to] });
const lines = (log: string): string => linesOf(join(folder, `${log}.log`)).join(' ');
const inShop = (yaml: string): string => yaml.replaceAll(/metadata: \{ /g, 'metadata: { namespace: shop, ');
const cart = (ports: string, endpointPorts: string): string =>
  inShop(waypointService('cart', [addresses.cart], ports, endpointPorts)).replace(
    'use-waypoint: gw',
    'use-waypoint: gw, istio.io/use-waypoint-namespace: default',
  );

beforeAll(async () => {
  backend = await startBackend('one');
  tcp = await startEchoBackend();
  const ports = '{ name: http, port: 80 }, { name: smtp, port: 25 }';
  const endpointPorts = `{ name: http, port: ${backend.port} }, { name: smtp, port: ${tcp.port} }`;
  const entry = `hosts: [bank.example.com], addresses: [${addresses.bank}], resolution: STATIC, ports: [{ number: 80, name: http, protocol: HTTP, targetPort: ${backend.port} }], endpoints: [{ address: 127.0.0.1 }]`;
  gateway = await startLocalGateway(
    {
      'gateway.yaml': waypointGateway.replace('port: 15088 }]', 'port: 15088, allowedRoutes: { namespaces: { from: All } } }]'),
      'mesh.yaml': meshConfigMap(
        `extensionProviders: [${['wp', 'echo', 'shop'].map((name) => fileAccessLog(name, join(folder, `${name}.log`), "text: '%REQ(:PATH)%'")).join(', ')}]\n`,
      ),
      'services.yaml':
        waypointService('echo', [addresses.echo], ports, endpointPorts) +
        waypointService('other', [addresses.other], ports, endpointPorts) +
        cart(ports, endpointPorts) +
        objectOf('networking.istio.io/v1', 'ServiceEntry', 'bank', entry, 'labels: { istio.io/use-waypoint: gw }'),
      'of-waypoint.yaml': telemetry('ns', '{ accessLogging: [{ providers: [{ name: wp }] }] }'),
    },
    [15_088],
  );
  await eventually(
    'the waypoint logs',
    async () => (await get('cart', '/ready').catch(() => undefined))?.status === 200 && lines('wp').includes('/ready'),
  );
});

afterAll(async () => {
  expect(gateway.problems()).toEqual([]);
  expect(gateway.rejections()).toEqual([]);
  await gateway.stop();
  backend.close();
  tcp.close();
  rmSync(folder, { recursive: true });
});

test('what a service or its namespace says holds for it, and for nothing else', async () => {
  const own = (value: string): string => `{ match: { metric: REQUEST_COUNT }, tagOverrides: { own: { value: '"${value}"' } } }`;
  const target = (kind: string, name: string): string =>
    `targetRefs: [{ group: ${kind === 'Service' ? "''" : 'networking.istio.io'}, kind: ${kind}, name: ${name} }]`;
  await gateway.write(
    'of-services.yaml',
    telemetry(
      'echo',
      `{ ${target('Service', 'echo')}, accessLogging: [{ providers: [{ name: echo }], filter: { expression: 'response.code < 500' } }], metrics: [{ overrides: [${own('echo')}, { match: { metric: TCP_CLOSED_CONNECTIONS }, disabled: true }] }] }`,
    ) +
      telemetry('bank', `{ ${target('ServiceEntry', 'bank')}, metrics: [{ overrides: [${own('bank')}] }] }`) +
      telemetry('shop', `{ accessLogging: [{ providers: [{ name: shop }] }], metrics: [{ overrides: [${own('shop')}] }] }`, 'shop') +
      telemetry('gone', `{ ${target('Service', 'gone')} }`) +
      telemetry('elsewhere', '{ accessLogging: [{ disabled: true }] }', 'elsewhere'),
  );
  const labels = async (): Promise<readonly (readonly [string, string | undefined])[]> =>
    (await series('istio_requests_total'))
      .filter((s) => s.labels['response_code'] !== '500')
      .map((s) => [s.labels['destination_service_name'] ?? '', s.labels['own']] as const);
  await eventually('each has its label', async () => {
    for (const to of ['echo', 'bank', 'cart'] as const) await get(to, `/${to}`);
    const found = new Set((await labels()).map((l) => l.join(' ')));
    return ['echo echo', 'bank.example.com bank', 'cart shop'].every((l) => found.has(l));
  });
  expect((await get('other', '/other')).status).toBe(200);
  expect((await get('nobody', '/nobody')).status).toBe(404);
  await eventually(
    'requests to the others are logged for the waypoint',
    () => lines('wp').includes('/other') && lines('wp').includes('/nobody'),
  );
  await eventually('those of the service for it', () => lines('echo').includes('/echo') && lines('shop').includes('/cart'));
  expect(lines('echo')).not.toMatch(/other|nobody|cart|bank/);
  expect(lines('shop')).not.toMatch(/other|nobody|echo|bank/);
  expect(lines('wp')).toContain('/bank');
  expect((await labels()).filter(([name, label]) => name === 'other' && label !== undefined)).toEqual([]);

  for (const to of ['echo', 'other'] as const)
    expect(await echoed(gateway.port(15_088), 'hello', { address: addresses[to], port: 25 })).toBe('hello');
  await eventually('connections to the others are counted', () =>
    counted('istio_tcp_connections_closed_total', { destination_service_name: 'other' }),
  );
  await eventually('of the service what it wants', () =>
    counted('istio_tcp_connections_opened_total', { destination_service_name: 'echo' }),
  );
  expect(await counted('istio_tcp_connections_closed_total', { destination_service_name: 'echo' })).toBe(0);

  for (const name of ['default/echo', 'default/bank', 'default/ns', 'shop/shop'])
    expect(conditionOf(gateway, name)).toBe('True Accepted: holds for Gateway default/gw');
  for (const name of ['default/gone', 'elsewhere/elsewhere']) expect(conditionOf(gateway, name)).toContain('undefined');
});
