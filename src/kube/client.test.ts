import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { kubeClient, pathOf } from './client.ts';
import type { KubeClient } from './client.ts';
import { clusterCredentials } from './credentials.ts';
import { ConfigMaps, GatewayClasses, HTTPRoutes, resourceOf, resources } from './resources.ts';
import { testApiServer } from './testing/api-server.ts';
import { until } from './testing/until.ts';
import type { ConfigMap } from './types/core.ts';

const cleanup: (() => PromiseLike<unknown>)[] = [];
afterEach(async () => {
  for (const f of cleanup.splice(0).reverse()) await f();
});

const configMap: ConfigMap = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'a', namespace: 'b' }, data: { x: 'y' } };

test('paths', () => {
  expect(pathOf(ConfigMaps)).toBe('/api/v1/configmaps');
  expect(pathOf(ConfigMaps, 'b', 'a')).toBe('/api/v1/namespaces/b/configmaps/a');
  expect(pathOf(GatewayClasses, 'ignored', 'c')).toBe('/apis/gateway.networking.k8s.io/v1/gatewayclasses/c');
  expect(pathOf(HTTPRoutes, 'b', 'r', 'status')).toBe('/apis/gateway.networking.k8s.io/v1/namespaces/b/httproutes/r/status');
  expect(new Set(resources.map((r) => pathOf(r))).size).toBe(resources.length);
  expect(resourceOf('gateway.kgateway.dev', 'TrafficPolicy')?.plural).toBe('trafficpolicies');
});

test('create, get, list, patch, replace, apply, delete', async () => {
  const s = await testApiServer([ConfigMaps]);
  cleanup.push(() => s[Symbol.asyncDispose]());
  const { client } = s;
  const created = await client.create(ConfigMaps, configMap);
  await expect(client.create(ConfigMaps, configMap)).rejects.toMatchObject({ status: 409, reason: 'AlreadyExists' });
  await client.patch(ConfigMaps, 'b/a', { data: { x: null, z: '1' } });
  expect((await client.get(ConfigMaps, 'b/a'))?.data).toEqual({ z: '1' });
  await expect(client.replace(ConfigMaps, created)).rejects.toMatchObject({ status: 409 });
  await client.apply(ConfigMaps, { ...configMap, metadata: { name: 'n', namespace: 'b' } }, { fieldManager: 'm' });
  expect(s.requests.at(-1)).toBe('PATCH /api/v1/namespaces/b/configmaps/n?fieldManager=m&force=true');
  const page = await client.list(ConfigMaps, { limit: 1 });
  expect(page.items.map((i) => [i.kind, i.apiVersion])).toEqual([['ConfigMap', 'v1']]);
  expect(page.continue).toBeDefined();
  expect(await client.delete(ConfigMaps, 'b/a')).toBe(true);
  expect(await client.delete(ConfigMaps, 'b/a')).toBe(false);
  expect(await client.get(ConfigMaps, 'b/a')).toBeUndefined();
  await expect(client.get(ConfigMaps, 'a')).rejects.toThrow('a is no key of ConfigMap: expected namespace/name');
});

/** A server that answers as told. */
async function server(answer: Parameters<typeof createServer>[1], o: Parameters<typeof kubeClient>[0] = {}): Promise<KubeClient> {
  const s = createServer(answer as never).listen(0, '127.0.0.1');
  await new Promise((resolve) => s.once('listening', resolve));
  const url = `http://127.0.0.1:${(s.address() as AddressInfo).port}`;
  let reads = 0;
  const session = () => Promise.resolve({ headers: { authorization: `Bearer ${++reads}` }, tls: {} });
  const client = await kubeClient({ credentials: { server: `${url}/prefix/`, namespace: 'b', session }, ...o });
  cleanup.push(async () => {
    await client.close();
    s.closeAllConnections();
    s.close();
  });
  return client;
}

test('a refused token is read again, once; a path prefix is kept', async () => {
  const seen: string[] = [];
  const client = await server((request, response) => {
    seen.push(`${request.headers.authorization} ${request.url} ${request.headers['user-agent']}`);
    response.statusCode = request.headers.authorization === 'Bearer 2' ? 200 : 401;
    response.end('{}');
  });
  await client.get(ConfigMaps, 'b/a');
  await client.get(ConfigMaps, 'b/a');
  const path = '/prefix/api/v1/namespaces/b/configmaps/a kgateway';
  expect(seen).toEqual([`Bearer 1 ${path}`, `Bearer 2 ${path}`, `Bearer 2 ${path}`]);
});

test('refused twice, garbage and silence are errors that say what to do', async () => {
  const client = await server(
    (request, response) => {
      if (request.url?.includes('silent')) return;
      response.statusCode = request.url?.includes('garbage') ? 502 : 401;
      response.end('<html>');
    },
    { timeout: 1000 },
  );
  await expect(client.get(ConfigMaps, 'b/x')).rejects.toThrow(/get configmaps b\/x: <html> \(the credentials were refused/);
  await expect(client.get(ConfigMaps, 'b/garbage')).rejects.toMatchObject({ status: 502 });
  await expect(client.get(ConfigMaps, 'b/silent')).rejects.toMatchObject({ status: 0, reason: 'Unreachable' });
});

test('calls that hang delay no event', async () => {
  let stream: { write: (s: string) => void } | undefined;
  const client = await server(
    (request, response) => {
      if (!request.url?.includes('watch')) return;
      stream = response;
      response.write(`${JSON.stringify({ type: 'ADDED', object: configMap })}\n`);
    },
    { connections: 1 },
  );
  const abort = new AbortController();
  const hanging = [1, 2, 3].map(() => client.get(ConfigMaps, 'b/a', { signal: abort.signal }).catch(() => undefined));
  const seen: string[] = [];
  const options = { timeoutSeconds: 60, inactivitySeconds: 60 };
  const watching = client.watch(ConfigMaps, options, (e) => seen.push(e.type), abort.signal).catch(() => undefined);
  await until(() => seen.length === 1, 'the event');
  stream?.write(`${JSON.stringify({ type: 'DELETED', object: configMap })}\n`);
  await until(() => seen.join() === 'ADDED,DELETED', 'the next event');
  abort.abort();
  await Promise.all([...hanging, watching]);
});

test('in a cluster: token and CA as they are now', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'sa-'));
  cleanup.push(() => rm(folder, { recursive: true }));
  await writeFile(join(folder, 'token'), 'one\n');
  await writeFile(join(folder, 'ca.crt'), 'ca');
  await writeFile(join(folder, 'namespace'), 'kgateway-system');
  const env = { KUBERNETES_SERVICE_HOST: 'fd00::1', KUBERNETES_SERVICE_PORT: '443' };
  const credentials = await clusterCredentials(folder, env);
  expect(credentials).toMatchObject({ server: 'https://[fd00::1]:443', namespace: 'kgateway-system' });
  expect(await credentials.session()).toEqual({ headers: { authorization: 'Bearer one' }, tls: { ca: 'ca' } });
  await writeFile(join(folder, 'token'), 'two');
  expect((await credentials.session()).headers).toEqual({ authorization: 'Bearer two' });
});
