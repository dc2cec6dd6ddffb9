import { afterEach, expect, test } from 'vitest';
import { Graph, map, source } from '../krt/index.ts';
import { reflectReferenced } from './referenced.ts';
import { sameVersion } from './reflector.ts';
import { Secrets } from './resources.ts';
import { testApiServer } from './testing/api-server.ts';
import type { TestApiServer } from './testing/api-server.ts';
import { until } from './testing/until.ts';
import type { Secret } from './types/core.ts';
import { keyOf } from './types/meta.ts';

const cleanup: (() => PromiseLike<void>)[] = [];
afterEach(async () => {
  for (const f of cleanup.splice(0).reverse()) await f();
});

const secret = (name: string, value: string): Secret => ({
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name, namespace: 'a' },
  data: { key: value },
});

async function rig() {
  const server: TestApiServer = await testApiServer([Secrets]);
  cleanup.push(() => server[Symbol.asyncDispose]());
  const graph = new Graph({ assertions: true });
  // As in the real wiring: what is wanted depends on the graph that waits for the secrets.
  const routes = source<{ key: string; secret: string }>(graph, { name: 'routes', key: (r) => r.key });
  const secrets = source<Secret>(graph, { name: 'secrets', key: keyOf, equals: sameVersion });
  const wanted = map(graph, routes, { name: 'wanted', key: (w: { key: string }) => w.key }, (_, r) => ({ key: r.secret }));
  const reflector = reflectReferenced(server.client, Secrets, wanted, secrets, { backoff: { first: 5, max: 20 } });
  cleanup.push(() => reflector.stop());
  const reads = (): string[] => server.requests.filter((r) => /^GET .*\/secrets\/[^?]+$/.test(r)).map((r) => r.split('/').at(-1) ?? '');
  return { server, graph, routes, secrets, reads, reflector };
}

test('reads what is wanted and nothing else, and does not hold the graph', async () => {
  const { server, graph, routes, secrets, reads } = await rig();
  server.put(Secrets, secret('used', 'MQ=='));
  server.put(Secrets, secret('other', 'Mg=='));
  routes.set({ key: 'r1', secret: 'a/used' });
  routes.set({ key: 'r2', secret: 'a/missing' });
  routes.markSynced();
  await graph.whenSynced();
  await until(() => secrets.size === 1, 'the secret is read');
  expect(secrets.get('a/used')?.data).toEqual({ key: 'MQ==' });
  expect(reads()).toEqual(['used']);
  expect(server.requests.filter((r) => r.includes('secrets') && !r.includes('watch=true') && !r.endsWith('used'))).toEqual([]);
});

test('follows changes, creation, deletion and what is wanted', async () => {
  const { server, graph, routes, secrets, reads } = await rig();
  routes.set({ key: 'r', secret: 'a/s' });
  routes.markSynced();
  await graph.whenSynced();
  server.put(Secrets, secret('s', 'MQ=='));
  await until(() => secrets.get('a/s')?.data?.['key'] === 'MQ==', 'it was created');
  server.put(Secrets, secret('s', 'Mg=='));
  await until(() => secrets.get('a/s')?.data?.['key'] === 'Mg==', 'it changed');
  server.put(Secrets, secret('t', 'Mw=='));
  server.remove(Secrets, 'a/s');
  await until(() => secrets.size === 0, 'it was deleted');
  routes.set({ key: 'r', secret: 'a/t' });
  await until(() => secrets.get('a/t')?.data?.['key'] === 'Mw==', 'the other one is wanted now');
  routes.delete('r');
  await until(() => secrets.size === 0, 'nothing is wanted');
  expect(reads()).toEqual(['s', 's', 't']);
});

test('a failed read is repeated', async () => {
  const { server, graph, routes, secrets } = await rig();
  server.put(Secrets, secret('s', 'MQ=='));
  server.fail('GET /api/v1/namespaces/a/secrets/s', 500, 2);
  routes.set({ key: 'r', secret: 'a/s' });
  routes.markSynced();
  await graph.whenSynced();
  await until(() => secrets.size === 1, 'it was read');
});
