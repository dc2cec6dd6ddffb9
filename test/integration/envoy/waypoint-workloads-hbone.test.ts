/** Workloads behind a waypoint that ends HBONE itself, under their own addresses: by tunnels to those that take them, else directly. */
import { mkdtempSync, rmSync } from 'node:fs';
import { type ClientHttp2Session, type Http2SecureServer, constants } from 'node:http2';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Identity } from '../../../src/cmd/identity/identity.ts';
import { type CaServer, type KeyPair, type MeshCa, meshCa, serveCa } from '../../mesh/certificate-authority.ts';
import { type Arrival, hboneServer, openHbone, openTunnel } from '../../mesh/hbone.ts';
import { type Backend, startBackend } from '../backend.ts';
import { hboneWaypoint, startAgent } from '../hbone.ts';
import { type L4Backend, startTcpBackend } from '../l4.ts';
import { type LocalGateway, echoOf, eventually, startLocalGateway } from '../local.ts';
import { machineAddress } from '../machine.ts';
import { requestOver } from '../waypoint-client.ts';

const address = machineAddress();
const spiffe = (namespace: string, account: string): string => `spiffe://cluster.local/ns/${namespace}/sa/${account}`;
let gateway: LocalGateway;
let folder: string;
let ca: MeshCa;
let authority: CaServer;
let agent: Identity;
let web: Backend;
let mail: L4Backend;
let declared: L4Backend;
let ztunnel: Http2SecureServer;
let client: KeyPair;
const arrivals: Arrival[] = [];
const sessions: ClientHttp2Session[] = [];

async function tunnelTo(port: number, as: KeyPair = client): Promise<Duplex> {
  const session = await openHbone({ host: '127.0.0.1', port: gateway.port(15_008) }, { ca: ca.root, ...as }, [spiffe('default', 'gw')]);
  sessions.push(session);
  return openTunnel(session, `${address}:${port}`);
}

const get = async (path: string, port = web.port, as?: KeyPair) => requestOver(await tunnelTo(port, as), path, { host: 'pod' });

async function greeting(port: number, as?: KeyPair): Promise<string> {
  const tunnel = await tunnelTo(port, as);
  return new Promise((resolve) => {
    tunnel.once('data', (data: Buffer) => resolve(data.toString()));
    tunnel.on('error', () => resolve('closed')).on('close', () => resolve('closed'));
  });
}

const pod = (account: string, captured: boolean): string => `---
apiVersion: v1
kind: Pod
metadata:
  name: echo-0
  labels: { istio.io/use-waypoint: gw }
  annotations: { ambient.istio.io/redirection: ${captured ? 'enabled' : 'disabled'} }
spec: { serviceAccountName: ${account}, containers: [{ name: app }] }
status: { phase: Running, podIPs: [{ ip: ${address} }], conditions: [{ type: Ready, status: 'True' }] }
`;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'kgateway-workloads-'));
  ca = await meshCa();
  authority = await serveCa(ca, { lifetimeSeconds: () => 3600 });
  client = await ca.issue(spiffe('client', 'client'));
  agent = await startAgent(folder, ca, authority);

  web = await startBackend('web', { address });
  mail = await startTcpBackend('220 mail', undefined, address);
  declared = await startTcpBackend('220 declared', undefined, address);
  ztunnel = hboneServer({ ...(await ca.issue(spiffe('default', 'worker'))), ca: ca.root }, (stream, arrival) => {
    arrivals.push(arrival);
    const up = connect(Number(arrival.authority.split(':').at(-1)), address, () => {
      stream.respond({ ':status': 200 });
      stream.pipe(up).pipe(stream);
    });
    up.on('error', () => stream.close(constants.NGHTTP2_INTERNAL_ERROR));
  });
  await new Promise<void>((resolve, reject) => void ztunnel.once('error', reject).listen(15_008, address, resolve));
  gateway = await startLocalGateway(
    {
      'gateway.yaml': hboneWaypoint().replace('waypoint-for: service', 'waypoint-for: workload'),
      'pod.yaml': pod('worker', true),
      'slice.yaml': `---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: echo-1, labels: { kubernetes.io/service-name: echo } }
addressType: IPv4
ports: [{ name: tcp-mail, port: ${declared.port} }]
endpoints: [{ addresses: [${address}], conditions: { ready: true } }]
`,
    },
    [15_008],
    { identityFolder: folder },
  );
  await eventually('the waypoint serves', async () => (await get('/').catch(() => undefined))?.status === 200);
});

afterAll(async () => {
  for (const session of sessions) session.destroy();
  expect(gateway.rejections()).toEqual([]);
  await gateway.stop();
  await agent.stop();
  authority.stop();
  ztunnel.close();
  for (const backend of [web, mail, declared]) backend.close();
  rmSync(folder, { recursive: true, force: true });
});

test('a captured Pod is reached by a tunnel to its address, with the identity of the waypoint', async () => {
  const { service, headers } = echoOf(await get('/'));
  expect(service).toBe('web');
  expect(headers).toHaveProperty('x-request-id');
  expect(arrivals.find((a) => a.authority === `${address}:${web.port}`)?.peer).toBe(spiffe('default', 'gw'));
  expect(await greeting(mail.port)).toBe('220 mail\n');
  expect(await greeting(declared.port)).toBe('220 declared\n');
  expect(arrivals.map((a) => a.authority)).toEqual(expect.arrayContaining([mail, declared].map((b) => `${address}:${b.port}`)));
});

test('policies of the waypoint know the client', async () => {
  const bad = await ca.issue(spiffe('bad', 'client'));
  await gateway.write(
    'policy.yaml',
    `---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: policy }
spec:
  targetRefs: [{ group: gateway.networking.k8s.io, kind: Gateway, name: gw }]
  action: DENY
  rules: [{ from: [{ source: { namespaces: ['bad'] } }] }]
`,
  );
  await eventually('it holds', async () => (await get('/', web.port, bad)).status === 403);
  expect((await get('/')).status).toBe(200);
  await gateway.remove('policy.yaml');
  await eventually('it is gone', async () => (await get('/', web.port, bad)).status === 200);
});

test('whoever shows another identity at its address gets nothing', async () => {
  await gateway.write('pod.yaml', pod('somebody', true));
  await eventually('requests fail', async () => (await get('/')).status === 503);
  arrivals.length = 0;
  expect(await greeting(declared.port)).toBe('closed');
  expect(arrivals).toEqual([]);
});

test('a Pod that takes no tunnel is reached directly', async () => {
  await gateway.write('pod.yaml', pod('worker', false));
  await eventually('it is reached', async () => (await get('/')).status === 200);
  arrivals.length = 0;
  expect(echoOf(await get('/')).service).toBe('web');
  expect(await greeting(mail.port)).toBe('220 mail\n');
  expect(await greeting(declared.port)).toBe('220 declared\n');
  expect(arrivals).toEqual([]);
});

test('addresses that are nobody get 404', async () => {
  await gateway.remove('pod.yaml');
  await eventually('it is not served', async () => (await get('/')).status === 404);
});
