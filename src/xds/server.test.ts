import { Client, credentials, Metadata, status } from '@grpc/grpc-js';
import type { ClientDuplexStream, ServiceError } from '@grpc/grpc-js';
import { afterEach, expect, test, vi } from 'vitest';
import { Graph, source } from '../krt/index.ts';
import { authenticator } from './authentication.ts';
import { decodeDeltaRequest, lengthDelimited } from './discovery.ts';
import { rejectionKey, TypeUrl, versionOf, xdsResourceKey } from './resource.ts';
import type { ConnectedProxy, Rejection, XdsResource } from './resource.ts';
import { adsService, startXdsServer } from './server.ts';
import type { XdsServerOptions } from './server.ts';
import { createResourceStore } from './store.ts';

const closing: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

const silent = { info: () => {}, warn: () => {}, error: () => {} };

function resource(type: TypeUrl, name: string, body: string, clusters: readonly string[] = []): XdsResource {
  const bytes = Buffer.from(body);
  return { scope: 'web/gw', type, name, version: versionOf(bytes), bytes, origins: [], clusters };
}

/** A graph with the three collections around the server. */
async function world(more: Partial<XdsServerOptions> = {}) {
  const graph = new Graph();
  const resources = source<XdsResource>(graph, { name: 'Resources', key: xdsResourceKey });
  const proxies = source<ConnectedProxy>(graph, { name: 'Proxies', key: (p) => p.id });
  const rejections = source<Rejection>(graph, { name: 'Rejections', key: rejectionKey });
  proxies.markSynced();
  rejections.markSynced();
  const store = createResourceStore(resources);
  const server = await startXdsServer({
    address: '127.0.0.1:0',
    store,
    ready: () => graph.whenSynced(),
    proxies,
    rejections,
    log: silent,
    ...more,
  });
  closing.push(() => server.close());
  return { graph, resources, proxies, rejections, server };
}

/** Reads a DeltaDiscoveryResponse: resources 2 (as they are), type_url 4, nonce 5, removed_resources 6. */
function read(bytes: Buffer) {
  const fields = new Map<number, Buffer[]>();
  let at = 0;
  while (at < bytes.length) {
    const number = (bytes[at] ?? 0) >> 3;
    let [length, shift] = [0, 0];
    for (at++; ; at++, shift += 7) {
      length |= ((bytes[at] ?? 0) & 0x7f) << shift;
      if ((bytes[at] ?? 0) < 0x80) break;
    }
    at++;
    fields.set(number, [...(fields.get(number) ?? []), bytes.subarray(at, at + length)]);
    at += length;
  }
  const text = (n: number): string[] => (fields.get(n) ?? []).map(String);
  return { resources: (fields.get(2) ?? []).map(String), type: text(4)[0], nonce: text(5)[0] ?? '', removed: text(6) };
}

function node(role: string): Buffer {
  const value = lengthDelimited(3, role);
  const metadata = lengthDelimited(1, Buffer.concat([lengthDelimited(1, 'role'), lengthDelimited(2, value)]));
  return lengthDelimited(1, Buffer.concat([lengthDelimited(1, 'proxy-1'), lengthDelimited(3, metadata)]));
}

function connect(port: number, token?: string) {
  const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
  closing.push(() => client.close());
  const metadata = new Metadata();
  if (token !== undefined) metadata.set('authorization', `Bearer ${token}`);
  const { path, requestSerialize, responseDeserialize } = adsService.DeltaAggregatedResources;
  const call: ClientDuplexStream<Buffer, Buffer> = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, metadata);
  const responses: ReturnType<typeof read>[] = [];
  const failure = new Promise<ServiceError>((resolve) => call.on('error', (e: ServiceError) => resolve(e)));
  call.on('data', (bytes: Buffer) => responses.push(read(bytes)));
  return {
    call,
    responses,
    failure,
    ask: (type: string, o: { role?: string; names?: string[]; nonce?: string; error?: string } = {}) =>
      call.write(
        Buffer.concat([
          ...(o.role === undefined ? [] : [node(o.role)]),
          lengthDelimited(2, type),
          ...(o.names ?? []).map((n) => lengthDelimited(3, n)),
          ...(o.nonce === undefined ? [] : [lengthDelimited(6, o.nonce)]),
          ...(o.error === undefined ? [] : [lengthDelimited(7, lengthDelimited(2, o.error))]),
        ]),
      ),
  };
}

const role = 'kgateway-kube-gateway-api~web~gw';

test('nothing is answered before the graph has settled; then everything is', async () => {
  const w = await world();
  const c = connect(w.server.port);
  c.ask(TypeUrl.cluster, { role });
  c.ask(TypeUrl.endpoint, { names: ['a'] });
  w.resources.set(resource(TypeUrl.cluster, 'a', 'the cluster'));
  expect(w.server.debug()).toEqual([]);
  w.resources.markSynced();
  await vi.waitFor(() => expect(c.responses).toHaveLength(2));
  expect(c.responses[0]).toMatchObject({ type: TypeUrl.cluster, resources: [expect.stringContaining('the cluster')] });
  expect(c.responses[1]).toMatchObject({ type: TypeUrl.endpoint, removed: ['a'] });
});

test('a change is pushed to the proxies of its scope, and only it', async () => {
  const w = await world();
  w.resources.markSynced();
  w.resources.set(resource(TypeUrl.listener, 'l', 'one'));
  await w.graph.whenSynced();
  const c = connect(w.server.port);
  const other = connect(w.server.port);
  c.ask(TypeUrl.listener, { role });
  other.ask(TypeUrl.listener, { role: 'kgateway-kube-gateway-api~web~other' });
  await vi.waitFor(() => expect([c.responses.length, other.responses.length]).toEqual([1, 1]));
  for (const client of [c, other]) client.ask(TypeUrl.listener, { nonce: '1' });
  await vi.waitFor(() => expect(w.proxies.list().map((p) => p.serving)).toEqual([true, true]));
  w.resources.set(resource(TypeUrl.listener, 'm', 'two'));
  await vi.waitFor(() => expect(c.responses).toHaveLength(2));
  expect(c.responses[1]?.resources).toEqual([expect.stringContaining('two')]);
  expect(other.responses).toHaveLength(1);
});

test('a rejection appears and goes with the proxy', async () => {
  const events: string[] = [];
  const w = await world({
    on: {
      connected: () => events.push('connected'),
      sent: (p) => events.push(`sent ${p.resources}`),
      refused: (p) => events.push(`refused ${p.message}`),
      disconnected: () => events.push('disconnected'),
    },
  });
  w.resources.markSynced();
  w.resources.set(resource(TypeUrl.listener, 'l', 'bad'));
  const c = connect(w.server.port);
  c.ask(TypeUrl.listener, { role });
  await vi.waitFor(() => expect(c.responses).toHaveLength(1));
  c.ask(TypeUrl.listener, { nonce: '1', error: 'no such filter' });
  await vi.waitFor(() => expect(w.rejections.list()).toMatchObject([{ scope: 'web/gw', name: 'l', message: 'no such filter' }]));
  expect(w.server.debug()).toMatchObject([
    { nodeId: 'proxy-1', serving: false, types: { [TypeUrl.listener]: { rejected: { l: { message: 'no such filter' } } } } },
  ]);
  c.call.cancel();
  await vi.waitFor(() => expect([w.rejections.size, w.proxies.size, w.server.debug().length]).toEqual([0, 0, 0]));
  expect(events).toEqual(['connected', 'sent 1', 'refused no such filter', 'disconnected']);
});

test('a stranger is turned away, with the next step', async () => {
  const w = await world({
    authenticate: authenticator(
      (token) => Promise.resolve(token === 'mine' ? { namespace: 'web', serviceAccount: 'gw' } : { error: 'expired' }),
      (scope) => (scope === 'web/gw' ? { namespace: 'web', serviceAccount: 'gw' } : undefined),
    ),
  });
  w.resources.markSynced();
  const outcome = async (token: string | undefined, asked: string): Promise<number> => {
    const c = connect(w.server.port, token);
    c.ask(TypeUrl.listener, { role: asked });
    return (await c.failure).code;
  };
  expect(await outcome(undefined, role)).toBe(status.UNAUTHENTICATED);
  expect(await outcome('theirs', role)).toBe(status.UNAUTHENTICATED);
  expect(await outcome('mine', 'kgateway-kube-gateway-api~web~other')).toBe(status.PERMISSION_DENIED);
  expect(await outcome('mine', 'nonsense')).toBe(status.INVALID_ARGUMENT);
  expect(w.proxies.size).toBe(0);
  const c = connect(w.server.port, 'mine');
  c.ask(TypeUrl.listener, { role });
  await vi.waitFor(() => expect(c.responses).toHaveLength(1));
});

test('malformed bytes end the stream and nothing else', async () => {
  const w = await world();
  w.resources.markSynced();
  const c = connect(w.server.port);
  c.call.write(Buffer.from([0x0a, 0xff, 0xff]));
  expect((await c.failure).code).toBe(status.INVALID_ARGUMENT);
});

test('plaintext and no authentication are for loopback only', async () => {
  await expect(world({ address: '0.0.0.0:0' })).rejects.toThrow('needs a certificate and authentication');
});

test('closing tells clients to come back', async () => {
  const w = await world();
  w.resources.markSynced();
  const c = connect(w.server.port);
  c.ask(TypeUrl.listener, { role });
  await vi.waitFor(() => expect(c.responses).toHaveLength(1));
  await w.server.close();
  expect((await c.failure).code).toBe(status.UNAVAILABLE);
  closing.length = 0;
});

test('requests are read field by field, whatever else they hold', () => {
  const versions = Buffer.concat([lengthDelimited(1, 'a'), lengthDelimited(2, 'v1')]);
  const bytes = Buffer.concat([
    node(role),
    lengthDelimited(2, 't'),
    lengthDelimited(3, 'x'),
    lengthDelimited(3, 'y'),
    lengthDelimited(4, 'z'),
    lengthDelimited(5, versions),
    lengthDelimited(6, '7'),
    Buffer.from([0x80, 0x01, 0x96, 0x01]), // field 16, varint 150
    lengthDelimited(100, 'unknown'),
  ]);
  expect(decodeDeltaRequest(bytes)).toEqual({
    node: { id: 'proxy-1', cluster: '', metadata: { role } },
    type: 't',
    subscribe: ['x', 'y'],
    unsubscribe: ['z'],
    initialVersions: new Map([['a', 'v1']]),
    nonce: '7',
  });
  expect(decodeDeltaRequest(bytes, true)).not.toHaveProperty('node');
});
