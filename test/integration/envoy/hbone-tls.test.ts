/** TLS of a waypoint that ends HBONE itself, beyond who is let in: certificates that were revoked, how keys are agreed on, and what backends learn of it. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { ClientHttp2Session } from 'node:http2';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Identity } from '../../../src/cmd/identity/identity.ts';
import { type CaServer, type KeyPair, type MeshCa, meshCa, serveCa } from '../../mesh/certificate-authority.ts';
import { type MeshTls, openHbone, openTunnel } from '../../mesh/hbone.ts';
import { type Backend, startBackend } from '../backend.ts';
import { hbonePod, hboneWaypoint, hboneWorkload, startAgent } from '../hbone.ts';
import { type LocalGateway, echoOf, eventually, startLocalGateway } from '../local.ts';
import { waypointService as service } from '../waypoint.ts';
import { type WaypointAnswer, requestOver } from '../waypoint-client.ts';

const plain = '10.96.0.1';
/** Services of one Pod each, which takes HBONE. */
const [usual, quantumSafe] = ['10.96.0.2', '10.96.0.3'] as const;
const [usualPod, quantumSafePod] = ['127.0.79.1', '127.0.79.2'] as const;
const spiffe = (account: string): string => `spiffe://cluster.local/ns/default/sa/${account}`;

type Tls = KeyPair & { readonly ecdhCurve?: string };

let gateway: LocalGateway;
let folder: string;
let ca: MeshCa;
let authority: CaServer;
let agent: Identity;
let backend: Backend;
let client: KeyPair;
let worker: KeyPair;
const workloads: (() => void)[] = [];

async function session(tls: Tls = client): Promise<ClientHttp2Session> {
  return openHbone({ host: '127.0.0.1', port: gateway.port(15_008) }, { ca: ca.root, ...tls }, [spiffe('gw')]);
}

/** One request, over a connection of its own unless there is one. */
async function get(
  to: string,
  tls?: Tls,
  headers: Readonly<Record<string, string>> = {},
  over?: ClientHttp2Session,
): Promise<WaypointAnswer> {
  const own = over ?? (await session(tls));
  try {
    return await requestOver(await openTunnel(own, `${to}:80`), '/', { host: 'echo', headers });
  } finally {
    if (!over) own.close();
  }
}

/** The workload of a Pod. */
async function workload(address: string, tls: MeshTls & Tls): Promise<void> {
  workloads.push(await hboneWorkload(address, tls, backend.port));
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'kgateway-hbone-tls-'));
  ca = await meshCa();
  authority = await serveCa(ca, { lifetimeSeconds: () => 3600 });
  [client, worker] = [await ca.issue(spiffe('client')), await ca.issue(spiffe('worker'))];
  agent = await startAgent(folder, ca, authority);
  backend = await startBackend('echo');
  await workload(usualPod, { ...worker, ca: ca.root });
  await workload(quantumSafePod, { ...worker, ca: ca.root, ecdhCurve: 'X25519MLKEM768' });
  const port = '{ name: http, port: 80 }';
  const ofPod = (name: string, vip: string, address: string): string =>
    service(name, [vip], port, '{ name: http, port: 8000 }').replace('addresses: [127.0.0.1]', `addresses: [${address}]`);
  gateway = await startLocalGateway(
    {
      'gateway.yaml': hboneWaypoint("{ annotations: { ambient.istio.io/xfcc-include-client-identity: 'true' } }"),
      'services.yaml':
        service('plain', [plain], port, `{ name: http, port: ${backend.port} }`) +
        ofPod('usual', usual, usualPod) +
        ofPod('quantum-safe', quantumSafe, quantumSafePod),
      'pods.yaml': hbonePod('usual', usualPod, 'worker') + hbonePod('quantum-safe', quantumSafePod, 'worker'),
    },
    [15_008],
    { identityFolder: folder },
  );
  await eventually('the waypoint serves', async () => (await get(plain).catch(() => undefined))?.status === 200);
});

afterAll(async () => {
  await gateway.stop();
  await agent.stop();
  authority.stop();
  for (const stop of workloads) stop();
  backend.close();
  rmSync(folder, { recursive: true, force: true });
  expect(gateway.rejections()).toEqual([]);
});

describe('keys', () => {
  test.each(['X25519MLKEM768', 'X25519', 'P-256'])('are agreed on by %s with a client that knows nothing else', async (ecdhCurve) => {
    expect((await get(plain, { ...client, ecdhCurve })).status).toBe(200);
  });

  test('are agreed on by X25519MLKEM768 with a workload that knows nothing else', async () => {
    expect((await get(quantumSafe)).status).toBe(200);
    expect((await get(usual)).status).toBe(200);
  });
});

test('backends learn the identity of the client where the Gateway asks for that, whatever the client says', async () => {
  const { headers } = echoOf(await get(plain, client, { 'x-forwarded-client-cert': 'URI=spiffe://cluster.local/ns/other/sa/other' }));
  expect(headers['x-forwarded-client-cert']).toBe(`By=${spiffe('gw')};URI=${spiffe('client')}`);
});

describe('certificates that were revoked', () => {
  const list = (): string => join(folder, 'ca-crl.pem');

  test('are not taken from clients; connections that are open stay', async () => {
    const other = await ca.issue(spiffe('other'));
    const open = await session();
    writeFileSync(list(), await ca.revoke(client.cert));
    await eventually('the client is refused', async () => (await get(plain).catch(() => undefined)) === undefined);
    expect((await get(plain, other)).status).toBe(200);
    expect((await get(plain, undefined, {}, open)).status).toBe(200);
    open.destroy();
    rmSync(list());
    await eventually('nothing is revoked', async () => (await get(plain).catch(() => undefined))?.status === 200);
  });

  test('are not taken from workloads', async () => {
    const other = await ca.issue(spiffe('other'));
    const found = (): Promise<number> => get(usual, other).then((answer) => answer.status);
    expect(await found()).toBe(200);
    for (const stop of workloads.splice(0)) stop();
    writeFileSync(list(), await ca.revoke(client.cert, worker.cert));
    await eventually('the list is known', async () => (await get(plain).catch(() => undefined)) === undefined);
    await workload(usualPod, { ...worker, ca: ca.root });
    await eventually('the workload is refused', async () => (await found()) === 503);
    rmSync(list());
    await eventually('nothing is revoked', async () => (await found()) === 200);
  });
});
