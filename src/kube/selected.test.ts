import { afterEach, expect, test } from 'vitest';
import { Graph, source } from '../krt/index.ts';
import { sameVersion } from './reflector.ts';
import { Pods } from './resources.ts';
import { type ObjectSelection, reflectSelected } from './selected.ts';
import { testApiServer } from './testing/api-server.ts';
import { until } from './testing/until.ts';
import type { Pod } from './types/core.ts';
import { keyOf } from './types/meta.ts';

const cleanup: (() => PromiseLike<void>)[] = [];
afterEach(async () => {
  for (const f of cleanup.splice(0).reverse()) await f();
});

const pod = (name: string, labels: Readonly<Record<string, string>>, namespace = 'a'): Pod => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace, labels },
  spec: { containers: [] },
});

const selection = (user: string, labelSelector: string) => ({ user, key: `a?${labelSelector}`, namespace: 'a', labelSelector });

async function rig() {
  const server = await testApiServer([Pods]);
  cleanup.push(() => server[Symbol.asyncDispose]());
  const graph = new Graph({ assertions: true });
  const wanted = source<ObjectSelection & { readonly user: string }>(graph, { name: 'wanted', key: (w) => w.user });
  const pods = source<Pod>(graph, { name: 'pods', key: keyOf, equals: sameVersion });
  const selected = reflectSelected(server.client, Pods, wanted, pods);
  cleanup.push(() => selected.stop());
  wanted.markSynced();
  await graph.whenSynced();
  const names = (): readonly string[] =>
    pods
      .list()
      .map((p) => p.metadata.name)
      .toSorted();
  return { server, graph, wanted, pods, selected, names };
}

test('reads what is selected and nothing else', async () => {
  const { server, wanted, selected, names } = await rig();
  server.put(Pods, pod('one', { app: 'x' }));
  server.put(Pods, pod('other', { app: 'y' }));
  server.put(Pods, pod('elsewhere', { app: 'x' }, 'b'));
  expect(selected.reflectors).toHaveLength(0);
  wanted.set(selection('pool', 'app=x'));
  await until(() => names().length === 1, 'the Pod is read');
  await selected.settled();
  expect(names()).toEqual(['one']);
  expect(server.requests.every((r) => r.includes('/namespaces/a/pods') && r.includes('labelSelector=app%3Dx'))).toBe(true);
});

test('one watch for equal selections; a Pod of two stays until neither has it', async () => {
  const { server, wanted, selected, names } = await rig();
  server.put(Pods, pod('both', { app: 'x', size: 'l' }));
  server.put(Pods, pod('small', { app: 'x' }));
  wanted.set(selection('first', 'app=x'));
  wanted.set(selection('second', 'app=x'));
  wanted.set(selection('third', 'size=l'));
  await until(() => names().length === 2 && selected.reflectors.length === 2, 'both are read');
  await selected.settled();
  wanted.delete('first');
  await until(() => selected.reflectors.length === 2, 'the watch has another user');
  wanted.delete('second');
  await until(() => names().length === 1, 'only the one that is still selected stays');
  expect(names()).toEqual(['both']);
  server.put(Pods, pod('both', { app: 'x' }));
  await until(() => names().length === 0, 'it lost its label');
  wanted.delete('third');
  await until(() => selected.reflectors.length === 0, 'nothing is watched');
});
