// The certificates of a waypoint that ends HBONE itself, where istiod grants them for less than a minute: renewed under traffic, and used to their
// end while istiod is away.
import type { TLSSocket } from 'node:tls';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { adminPort } from '../../../src/deploy/bootstrap.ts';
import { agentPort } from '../../../src/deploy/identity-agent.ts';
import { Deployments, Namespaces, Services } from '../../../src/kube/resources.ts';
import { openHbone, openTunnel } from '../../mesh/hbone.ts';
import { type Identities, identities, identityOf } from '../../mesh/identities.ts';
import { findIstiod } from '../../mesh/istiod.ts';
import { eventually, kubectl, portForward, useCluster } from '../cluster/cluster.ts';
import { requestOver } from '../waypoint-client.ts';
import { enableWaypoints } from './enable.ts';
import { ensureIstio } from './istio.ts';
import { type ClosedLoop, closedLoop, echo, hboneListener, useZtunnel, waypoint } from './mesh.ts';

const cluster = useCluster();
const lifetimeSeconds = 40;
const istiod = 'istio-system/istiod';
let certificates: Identities;

/** What istiod grants, and what it refuses: less than the day that an agent asks for. */
const short = [`DEFAULT_WORKLOAD_CERT_TTL=${lifetimeSeconds}s`, 'MAX_WORKLOAD_CERT_TTL=60s'];
const usual = ['DEFAULT_WORKLOAD_CERT_TTL-', 'MAX_WORKLOAD_CERT_TTL-'];

async function configureIstiod(variables: readonly string[]): Promise<void> {
  await kubectl('-n', 'istio-system', 'set', 'env', 'deployment/istiod', ...variables);
  await cluster.patch(Deployments, istiod, { spec: { replicas: 1 } });
  await cluster.rolledOut('istiod', 'istio-system');
}

beforeAll(async () => {
  await ensureIstio(cluster.client);
  await configureIstiod(short);
  await enableWaypoints();
  const labels = { 'istio.io/dataplane-mode': 'ambient', 'istio.io/use-waypoint': 'wp' };
  await cluster.patch(Namespaces, cluster.namespace, { metadata: { labels } });
  await cluster.apply(echo('one') + echo('two') + waypoint('wp', 'kgateway-waypoint-hbone', hboneListener));
  await useZtunnel();
  certificates = await identities(await findIstiod(cluster.client));
  for (const name of ['one', 'two', 'wp']) await cluster.rolledOut(name);
  await eventually(async () => {
    await using loop = await traffic();
    expect(await loop.next(20)).toEqual([]);
    expect((await newConnection()).status).toBe(200);
  }, 60);
}, 240_000);

afterAll(() => configureIstiod(usual), 120_000);

/** Requests out of a Pod, over the tunnels that its ztunnel holds open. */
async function traffic(): Promise<ClosedLoop> {
  const [client] = await cluster.pods('app=two');
  const { spec } = await cluster.get(Services, 'one');
  return closedLoop(client?.status?.podIP ?? '', [[`http://${spec.clusterIP}/`, 200]]);
}

/** The first Pod of the waypoint. */
async function proxy(): Promise<{ readonly name: string; readonly address: string }> {
  const [pod] = await cluster.pods('gateway.networking.k8s.io/gateway-name=wp');
  return { name: `pod/${pod?.metadata.name}`, address: pod?.status?.podIP ?? '' };
}

/** OpenSSL and BoringSSL print leading zeros differently. */
const serialOf = (hex: string): string => BigInt(`0x${hex}`).toString(16);

/** A request over a connection of its own, which sees the certificate of the moment: its serial number and end. */
async function newConnection(): Promise<{ readonly status: number; readonly serial: string; readonly notAfter: number }> {
  const tls = await certificates.of(cluster.namespace, 'two');
  const session = await openHbone({ host: (await proxy()).address, port: 15_008 }, tls, [identityOf(cluster.namespace, 'wp')]);
  try {
    const { serialNumber, valid_to: end } = (session.socket as TLSSocket).getPeerCertificate();
    const { spec } = await cluster.get(Services, 'one');
    const { status } = await requestOver(await openTunnel(session, `${spec.clusterIP}:80`), '/', { host: 'one' });
    return { status, serial: serialOf(serialNumber), notAfter: Date.parse(end) };
  } finally {
    session.close();
  }
}

/** Serial numbers of the certificates that the first proxy has loaded, as its administration prints them. */
async function loaded(): Promise<readonly string[]> {
  await using forward = await portForward(cluster.namespace, (await proxy()).name, adminPort);
  const { certificates: all } = (await (await fetch(`http://127.0.0.1:${forward.port}/certs`)).json()) as {
    readonly certificates: readonly { readonly cert_chain?: readonly { readonly serial_number: string }[] }[];
  };
  return all.flatMap((c) => (c.cert_chain ?? []).slice(0, 1).map((leaf) => serialOf(leaf.serial_number)));
}

/** Status of the agent of the first Pod. */
async function agentStatus(): Promise<number> {
  await using forward = await portForward(cluster.namespace, (await proxy()).name, agentPort);
  return (await fetch(`http://127.0.0.1:${forward.port}/ready`)).status;
}

test('certificates are renewed several times, and no request is lost, over old connections and new ones', async () => {
  const serials = new Set<string>();
  const statuses = new Set<number>();
  await using loop = await traffic();
  await vi.waitFor(
    async () => {
      const { status, serial } = await newConnection();
      statuses.add(status);
      serials.add(serial);
      expect(serials.size).toBeGreaterThanOrEqual(3);
    },
    { timeout: 90_000, interval: 300 },
  );
  expect([...statuses]).toEqual([200]);
  expect(await loop.next(100)).toEqual([]);
  expect(await loaded()).toContain([...serials].at(-1));
}, 120_000);

test('while istiod is away the last one is used to its end, and istiod renews it when it is back', async () => {
  await using loop = await traffic();
  // Its own certificate is as new as can be: it is to outlive that of the waypoint's second half.
  certificates = await identities(await findIstiod(cluster.client));
  expect((await newConnection()).status).toBe(200);
  await cluster.patch(Deployments, istiod, { spec: { replicas: 0 } });
  await eventually(async () => expect((await cluster.get(Deployments, istiod)).status?.replicas ?? 0).toBe(0), 30);
  const last = await newConnection();
  expect(last.status).toBe(200);
  // Its half is over, and the agent has asked in vain.
  await eventually(async () => {
    const log = await kubectl('-n', cluster.namespace, 'logs', (await proxy()).name, '-c', 'identity', '--since=30s');
    expect(log).toContain('no new certificate');
    expect(last.notAfter - Date.now()).toBeLessThan(lifetimeSeconds * 500);
  }, lifetimeSeconds);
  expect(last.notAfter).toBeGreaterThan(Date.now());
  expect(await newConnection()).toMatchObject({ status: 200, serial: last.serial });
  expect(await agentStatus()).toBe(200);
  expect(await loop.next(100)).toEqual([]);

  await eventually(() => expect(Date.now()).toBeGreaterThan(last.notAfter), lifetimeSeconds);
  expect(await agentStatus()).toBe(503);
  await expect(newConnection()).rejects.toThrow();

  await cluster.patch(Deployments, istiod, { spec: { replicas: 1 } });
  await cluster.rolledOut('istiod', 'istio-system');
  await eventually(async () => {
    const next = await newConnection();
    expect(next.status).toBe(200);
    expect(next.serial).not.toBe(last.serial);
  }, 20);
  await cluster.rolledOut('wp');
  await using again = await traffic();
  await eventually(async () => expect(await again.next(50)).toEqual([]), 60);
}, 200_000);
