// What the controller writes into statuses, what it leaves alone there, and how often it writes.
import { beforeAll, describe, expect, test } from 'vitest';
import { controllerName } from '../../../src/gateway/conditions.ts';
import { Gateways, HTTPRoutes } from '../../../src/kube/resources.ts';
import type { RouteParentStatus } from '../../../src/kube/types/gateway-api.ts';
import { described, eventually, useCluster } from './cluster.ts';
import { echoServer, gateway, route } from './objects.ts';

const cluster = useCluster();

const foreign: RouteParentStatus = {
  controllerName: 'example.com/other',
  parentRef: { group: 'gateway.networking.k8s.io', kind: 'Gateway', name: 'theirs' },
  conditions: [{ type: 'Accepted', status: 'True', reason: 'Accepted', message: 'ok', lastTransitionTime: '2026-01-01T00:00:00Z' }],
};

beforeAll(async () => {
  await cluster.apply(echoServer('echo'));
  await cluster.apply(gateway('one'));
  await cluster.apply(gateway('two'));
  await cluster.address('one');
  await cluster.address('two');
});

describe('status.parents', () => {
  const parentsOf = async (name: string) => {
    const { metadata, status } = await cluster.get(HTTPRoutes, name);
    return {
      theirs: status?.parents.filter((p) => p.controllerName !== controllerName) ?? [],
      ours: (status?.parents ?? [])
        .filter((p) => p.controllerName === controllerName)
        .map((p) => `${p.parentRef.name} ${p.conditions?.every((c) => c.observedGeneration === metadata.generation)}`),
    };
  };
  /** Another controller’s way to write: all entries, at the version that it read. */
  const writeForeign = (name: string): Promise<void> =>
    eventually(async () => {
      const { metadata, status } = await cluster.get(HTTPRoutes, name);
      const parents = [...(status?.parents ?? []), foreign];
      const patch = { metadata: { resourceVersion: metadata.resourceVersion }, status: { parents } };
      await cluster.client.patch(HTTPRoutes, `${cluster.namespace}/${name}`, patch, { subresource: 'status', fieldManager: 'other' });
    });

  test('keeps entries of other controllers through all changes of ours', async () => {
    await cluster.apply(route('shared', { gateway: 'one', host: 'shared.example.com', to: 'echo' }));
    await eventually(async () => expect((await parentsOf('shared')).ours).toEqual(['one true']));
    await writeForeign('shared');

    await cluster.patch(HTTPRoutes, 'shared', { spec: { parentRefs: [{ name: 'one' }, { name: 'two' }] } });
    await eventually(async () => expect(await parentsOf('shared')).toEqual({ ours: ['one true', 'two true'], theirs: [foreign] }));

    await cluster.patch(HTTPRoutes, 'shared', { spec: { parentRefs: [{ name: 'two' }] } });
    await eventually(async () => expect(await parentsOf('shared')).toEqual({ ours: ['two true'], theirs: [foreign] }));

    await cluster.patch(HTTPRoutes, 'shared', { spec: { parentRefs: [{ name: 'theirs' }] } });
    await eventually(async () => expect(await parentsOf('shared')).toEqual({ ours: [], theirs: [foreign] }));
  });

  test('loses our entry with the Gateway', async () => {
    await cluster.apply(gateway('short'));
    await cluster.apply(route('orphan', { gateway: 'short', host: 'orphan.example.com', to: 'echo' }));
    await eventually(async () => expect((await parentsOf('orphan')).ours).toEqual(['short true']));
    await writeForeign('orphan');
    await cluster.remove(Gateways, 'short');
    await eventually(async () => expect(await parentsOf('orphan')).toEqual({ ours: [], theirs: [foreign] }));
  });

  test('names what is wrong with a backend, and takes it back', async () => {
    await cluster.apply(route('dangling', { gateway: 'one', host: 'dangling.example.com', to: 'nowhere' }));
    await eventually(async () =>
      expect(described(await cluster.routeConditions('dangling'))).toContain('ResolvedRefs=False BackendNotFound'),
    );
    await cluster.apply(route('dangling', { gateway: 'one', host: 'dangling.example.com', to: 'echo' }));
    await eventually(async () => expect(described(await cluster.routeConditions('dangling'))).toContain('ResolvedRefs=True ResolvedRefs'));
  });
});

test('attachedRoutes follows 1,000 routes that come and go at once, with few writes', { timeout: 180_000 }, async () => {
  await cluster.apply(gateway('busy'));
  await cluster.address('busy');
  const counted: number[] = [];
  const versions = new Set<string>();
  const abort = new AbortController();
  const { resourceVersion } = (await cluster.get(Gateways, 'busy')).metadata;
  const what = { namespace: cluster.namespace, fieldSelector: 'metadata.name=busy', resourceVersion };
  const watching = cluster.client
    .watch(
      Gateways,
      { ...what, timeoutSeconds: 300, inactivitySeconds: 300 },
      ({ type, object }) => {
        if (type === 'BOOKMARK') return;
        versions.add(object.metadata.resourceVersion ?? '');
        counted.push(object.status?.listeners?.[0]?.attachedRoutes ?? -1);
      },
      abort.signal,
    )
    .catch((error: unknown) => {
      if (!abort.signal.aborted) throw error;
    });
  const names = Array.from({ length: 1000 }, (_, i) => `busy-${i}`);

  await Promise.all(names.map((name) => cluster.apply(route(name, { gateway: 'busy', host: `${name}.example.com`, to: 'echo' }))));
  await eventually(() => expect(counted.at(-1)).toBe(names.length), 30);
  // Right each time: only ever more while routes come, only ever fewer while they go.
  expect(counted).toEqual(counted.toSorted((a, b) => a - b));
  expect(versions.size).toBeLessThanOrEqual(30);

  const risen = counted.length;
  await cluster.remove(HTTPRoutes, ...names);
  await eventually(() => expect(counted.at(-1)).toBe(0), 30);
  const falling = counted.slice(risen);
  expect(falling).toEqual(falling.toSorted((a, b) => b - a));

  abort.abort();
  await watching;
});
