// The client side of Kubernetes against a real API server.
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { Graph, map, source } from '../../../src/krt/index.ts';
import { ApiError, isConflict } from '../../../src/kube/api-error.ts';
import type { KubeClient } from '../../../src/kube/client.ts';
import { kubeClient } from '../../../src/kube/client.ts';
import { leaderElection } from '../../../src/kube/lease.ts';
import { reflectReferenced } from '../../../src/kube/referenced.ts';
import { reflect, sameSpec, sameVersion } from '../../../src/kube/reflector.ts';
import type { Resource } from '../../../src/kube/resources.ts';
import {
  ConfigMaps,
  CustomResourceDefinitions,
  Gateways,
  HTTPRoutes,
  Secrets,
  ServiceAccounts,
  Services,
} from '../../../src/kube/resources.ts';
import { statusWriter } from '../../../src/kube/status-writer.ts';
import type { DesiredStatus } from '../../../src/kube/status.ts';
import { statusKey } from '../../../src/kube/status.ts';
import { until } from '../../../src/kube/testing/until.ts';
import { tokenVerifier } from '../../../src/kube/tokenreview.ts';
import type { ConfigMap, CustomResourceDefinition, Secret } from '../../../src/kube/types/core.ts';
import type { Gateway, HTTPRoute } from '../../../src/kube/types/gateway-api.ts';
import type { KubeObject } from '../../../src/kube/types/meta.ts';
import { keyOf } from '../../../src/kube/types/meta.ts';
import { clusterClient, relay, testNamespace } from '../cluster.ts';

let client: KubeClient;
let ns = '';
const forLater: (() => PromiseLike<unknown>)[] = [];
const cleanup: (() => PromiseLike<unknown>)[] = [];
beforeAll(async () => {
  client = await clusterClient();
  const namespace = await testNamespace(client);
  ns = namespace.name;
  forLater.push(
    () => client.close(),
    () => namespace[Symbol.asyncDispose](),
  );
});
afterEach(async () => {
  for (const f of cleanup.splice(0).reverse()) await f();
});
afterAll(async () => {
  for (const f of forLater.splice(0).reverse()) await f();
});

const configMap = (name: string, data: Record<string, string> = {}): ConfigMap => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name, namespace: ns },
  data,
});
const secret = (name: string): Secret => ({ apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace: ns }, data: { a: 'MQ==' } });

function cache<T extends KubeObject>(c: KubeClient, r: Resource<T>, o: Parameters<typeof reflect<T>>[3] = {}) {
  const graph = new Graph({ assertions: true });
  const store = source<T>(graph, { name: r.plural, key: keyOf, equals: sameSpec });
  const errors: Error[] = [];
  const reflector = reflect(c, r, store, { namespace: ns, onError: (e) => errors.push(e), ...o });
  cleanup.push(() => reflector.stop());
  return {
    graph,
    store,
    reflector,
    errors,
    names: () =>
      store
        .list()
        .map((x) => x.metadata.name)
        .sort(),
  };
}

/** Pages and all, as an API server that cannot stream lists makes us read. */
const withoutStreams = (c: KubeClient): KubeClient => ({
  ...c,
  watch: (r, o, onEvent, signal) => {
    const refusal = { status: 400, reason: 'BadRequest', message: 'sendInitialEvents is forbidden' };
    return o.sendInitialEvents ? Promise.reject(new ApiError({ verb: 'watch', resource: r }, refusal)) : c.watch(r, o, onEvent, signal);
  },
});

// Streamed lists: Kubernetes 1.32 over etcd 3.5, and later.
test.each([
  ['streamed', (c: KubeClient) => c, 0],
  ['read in pages where the server cannot stream', withoutStreams, 2],
])('a first list is %s; create, update and delete are followed, by selector', async (name, as, pages) => {
  const label = name.slice(0, 4);
  const labelled = (n: string): ConfigMap => ({
    ...configMap(n),
    metadata: { name: `${label}-${n}`, namespace: ns, labels: { list: label } },
  });
  for (const n of ['p1', 'p2', 'p3']) await client.create(ConfigMaps, labelled(n));
  let lists = 0;
  const counted: KubeClient = { ...as(client), list: (r, o) => (lists++, client.list(r, o)) };
  const c = cache(counted, ConfigMaps, { labelSelector: `list=${label}`, pageSize: 2 });
  await c.graph.whenSynced();
  expect(c.names()).toEqual(['p1', 'p2', 'p3'].map((n) => `${label}-${n}`));
  await client.create(ConfigMaps, labelled('new'));
  await client.patch(ConfigMaps, `${ns}/${label}-p1`, { data: { a: 'b' } });
  await client.delete(ConfigMaps, `${ns}/${label}-p2`);
  const followed = (): boolean => c.names().join() === `${label}-new,${label}-p1,${label}-p3`;
  await until(() => followed() && c.store.get(`${ns}/${label}-p1`)?.data?.['a'] === 'b', 'all three changes');
  expect(c.store.get(`${ns}/${label}-p1`)?.metadata).not.toHaveProperty('managedFields');
  expect(c.errors).toEqual([]);
  expect([lists, c.reflector.relists]).toEqual([pages, 1]);
});

test('a reflector resumes over an API server that goes and comes back, without a list', async () => {
  const r = await relay(client.credentials);
  cleanup.push(() => r[Symbol.asyncDispose]());
  const relayed = await kubeClient({ credentials: r.credentials });
  cleanup.push(() => relayed.close());
  const c = cache(relayed, ConfigMaps, { labelSelector: 'restart=yes' });
  const restarting = (name: string): ConfigMap => ({ ...configMap(name), metadata: { name, namespace: ns, labels: { restart: 'yes' } } });
  await client.create(ConfigMaps, restarting('before'));
  await c.graph.whenSynced();
  await until(() => c.names().join() === 'before', 'the first object');
  await r.down();
  await client.create(ConfigMaps, restarting('during'));
  await client.delete(ConfigMaps, `${ns}/before`);
  await until(() => c.errors.length >= 2, 'it has noticed');
  expect(c.names()).toEqual(['before']);
  await r.up();
  await until(() => c.names().join() === 'during', 'it caught up', 10_000);
  expect(c.reflector.relists).toBe(1);
  expect(c.errors[0]).toBeInstanceOf(ApiError);
});

test('only referenced Secrets are read', async () => {
  for (const name of ['used', 'other']) await client.create(Secrets, secret(name));
  const graph = new Graph({ assertions: true });
  const references = source<{ key: string }>(graph, { name: 'references', key: (x) => x.key });
  const store = source<Secret>(graph, { name: 'secrets', key: keyOf, equals: sameVersion });
  const wanted = map(graph, references, { name: 'wanted' }, (_, x) => x);
  references.set({ key: `${ns}/used` });
  references.markSynced();
  const reflector = reflectReferenced(client, Secrets, wanted, store, { namespace: ns });
  cleanup.push(() => reflector.stop());
  await graph.whenSynced();
  await until(() => store.size === 1, 'the Secret');
  await client.patch(Secrets, `${ns}/used`, { data: { a: 'Mg==' } });
  await until(() => store.get(`${ns}/used`)?.data?.['a'] === 'Mg==', 'its change');
  await client.delete(Secrets, `${ns}/used`);
  await until(() => store.size === 0, 'its end');
});

test('server-side apply owns its fields, refuses to steal without force, and takes with it', async () => {
  const service = (port: number): KubeObject & Record<string, unknown> => ({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'applied', namespace: ns },
    spec: { selector: { a: `${port}` }, ports: [{ port: 80, targetPort: port }] },
  });
  expect((await client.apply(Services, service(1), { fieldManager: 'one' })).spec.ports?.[0]?.targetPort).toBe(1);
  const refused = await client.apply(Services, service(2), { fieldManager: 'two', force: false }).catch((e: unknown) => e);
  expect(isConflict(refused)).toBe(true);
  expect((await client.apply(Services, service(2), { fieldManager: 'two' })).spec.selector).toEqual({ a: '2' });
  const before = await client.get(Services, `${ns}/applied`);
  await client.apply(Services, service(2), { fieldManager: 'two' });
  expect((await client.get(Services, `${ns}/applied`))?.metadata.resourceVersion).toBe(before?.metadata.resourceVersion);
});

test('errors say what happened and what to do', async () => {
  expect(await client.get(ConfigMaps, `${ns}/none`)).toBeUndefined();
  expect(await client.delete(ConfigMaps, `${ns}/none`)).toBe(false);
  const invalid = { ...configMap('x'), data: { 'a/b': '' } };
  await expect(client.create(ConfigMaps, invalid)).rejects.toMatchObject({ status: 422, reason: 'Invalid' });
  await expect(client.create(ConfigMaps, invalid)).rejects.toThrow(/create configmaps .*: .*\(the object breaks its schema/);
});

test('statuses: defaults of the server cause no second write, conflicts and other controllers are survived', async () => {
  const parentRef = { name: 'gw' };
  const route: HTTPRoute = {
    apiVersion: 'gateway.networking.k8s.io/v1',
    kind: 'HTTPRoute',
    metadata: { name: 'r', namespace: ns },
    spec: { parentRefs: [parentRef] },
  };
  const gateway: Gateway = {
    apiVersion: 'gateway.networking.k8s.io/v1',
    kind: 'Gateway',
    metadata: { name: 'gw', namespace: ns },
    spec: { gatewayClassName: 'none', listeners: [{ name: 'a', port: 80, protocol: 'HTTP' }] },
  };
  await client.create(HTTPRoutes, route);
  await client.create(Gateways, gateway);
  const condition = { type: 'Accepted', status: 'True', reason: 'Accepted', message: '' } as const;
  const foreign = {
    parentRef,
    controllerName: 'example.com/other',
    conditions: [{ ...condition, lastTransitionTime: '2026-01-01T00:00:00Z' }],
  };
  await client.patch(HTTPRoutes, `${ns}/r`, { status: { parents: [foreign] } }, { subresource: 'status' });
  const c = cache(client, HTTPRoutes);
  const g = cache(client, Gateways);
  await Promise.all([c.graph.whenSynced(), g.graph.whenSynced()]);
  const desired = source<DesiredStatus>(c.graph, { name: 'desired', key: (d) => d.key });
  desired.markSynced();
  const want = (message: string): DesiredStatus => ({
    key: statusKey(HTTPRoutes, `${ns}/r`),
    resource: HTTPRoutes,
    object: `${ns}/r`,
    generation: 1,
    status: { kind: 'parents', controllerName: 'example.com/us', entries: [{ parentRef, conditions: [{ ...condition, message }] }] },
  });
  const wantGateway: DesiredStatus = {
    key: statusKey(Gateways, `${ns}/gw`),
    resource: Gateways,
    object: `${ns}/gw`,
    generation: 1,
    status: {
      kind: 'whole',
      status: {
        addresses: [{ value: '10.0.0.1' }],
        conditions: [condition],
        listeners: [{ name: 'a', attachedRoutes: 1, supportedKinds: [{ kind: 'HTTPRoute' }], conditions: [condition] }],
      },
    },
  };
  const errors: unknown[] = [];
  const writer = statusWriter(client, desired, {
    current: (r, key) => (r.kind === 'Gateway' ? g.store.get(key) : c.store.get(key)),
    fieldManager: 'test',
    onError: (_, e) => errors.push(e),
  });
  cleanup.push(() => writer.stop());
  desired.set(want('one'));
  desired.set(wantGateway);
  c.graph.flush();
  writer.start();
  await until(() => c.store.get(`${ns}/r`)?.status?.parents.length === 2, 'both entries');
  await until(() => g.store.get(`${ns}/gw`)?.status?.listeners?.[0]?.attachedRoutes === 1, 'the Gateway');
  expect(c.store.get(`${ns}/r`)?.status?.parents[0]?.controllerName).toBe('example.com/other');
  // Somebody writes while our cache does not know it yet.
  const clash = client.patch(HTTPRoutes, `${ns}/r`, { metadata: { labels: { a: 'b' } } });
  desired.set(want('two'));
  c.graph.flush();
  await clash;
  const mine = () => c.store.get(`${ns}/r`)?.status?.parents.find((p) => p.controllerName === 'example.com/us')?.conditions[0];
  await until(() => mine()?.message === 'two', 'the second message');
  await writer.idle();
  const { writes } = writer.stats;
  desired.set({ ...want('two'), generation: 1 });
  desired.delete(wantGateway.key);
  desired.set({ ...wantGateway });
  c.graph.flush();
  await writer.idle();
  expect(writer.stats.writes).toBe(writes);
  expect(writes).toBe(3);
  expect(errors).toEqual([]);
  desired.delete(want('').key);
  c.graph.flush();
  await until(() => c.store.get(`${ns}/r`)?.status?.parents.length === 1, 'our entry is cleared');
});

test('leadership moves when the leader ends, and one at a time leads', async () => {
  const log: string[] = [];
  const candidate = (identity: string) => {
    const election = leaderElection(client, {
      namespace: ns,
      name: 'leader',
      identity,
      leaseDuration: 3000,
      renewDeadline: 2000,
      retryPeriod: 200,
      onAcquired: () => void log.push(`${identity} leads`),
      onLost: () => void log.push(`${identity} lost`),
      onError: (e) => log.push(String(e)),
    });
    cleanup.push(() => election.stop());
    return election;
  };
  const a = candidate('a');
  await until(() => a.leading, 'a leads');
  const b = candidate('b');
  await until(() => b.holder === 'a', 'b waits');
  await a.stop();
  await until(() => b.leading, 'b leads', 1500);
  expect(log).toEqual(['a leads', 'a lost', 'b leads']);
});

test('a leader that cannot reach the API server is replaced after the lease, not before it gave up', async () => {
  const r = await relay(client.credentials);
  cleanup.push(() => r[Symbol.asyncDispose]());
  const relayed = await kubeClient({ credentials: r.credentials });
  cleanup.push(() => relayed.close());
  const log: string[] = [];
  const timing = { namespace: ns, name: 'cut-off', leaseDuration: 1500, renewDeadline: 1000, retryPeriod: 100 };
  const run = (c: KubeClient, identity: string) => {
    const callbacks = { onAcquired: () => void log.push(`${identity} leads`), onLost: () => void log.push(`${identity} lost`) };
    const election = leaderElection(c, { ...timing, identity, ...callbacks });
    cleanup.push(() => election.stop());
    return election;
  };
  const a = run(relayed, 'a');
  await until(() => a.leading, 'a leads');
  const b = run(client, 'b');
  await until(() => b.holder === 'a', 'b waits');
  await r.down();
  await until(() => b.leading, 'b leads', 10_000);
  expect(log).toEqual(['a leads', 'a lost', 'b leads']);
});

test('a kind whose CRD is not installed is empty, and appears with it', async () => {
  const plural = `widgets${ns.slice(5)}`;
  const Widgets: Resource = { group: 'test.kgateway.dev', version: 'v1', kind: 'Widget', plural, namespaced: true };
  const crd: CustomResourceDefinition = {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.test.kgateway.dev` },
    spec: {
      group: 'test.kgateway.dev',
      names: { kind: 'Widget', plural, singular: plural.replace('s', ''), listKind: 'WidgetList' },
      scope: 'Namespaced',
      versions: [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: { type: 'object' } } }],
    },
  };
  const c = cache(client, Widgets);
  await c.graph.whenSynced();
  expect(c.reflector.state).toBe('waiting for the CRD');
  cleanup.push(() => client.delete(CustomResourceDefinitions, crd.metadata.name));
  await client.create(CustomResourceDefinitions, crd);
  await until(() => c.reflector.state === 'watching', 'the kind is served', 15_000);
  await client.create(Widgets, { apiVersion: 'test.kgateway.dev/v1', kind: 'Widget', metadata: { name: 'w', namespace: ns } });
  await until(() => c.names().join() === 'w', 'the object');
  await client.delete(CustomResourceDefinitions, crd.metadata.name);
  await until(() => c.store.size === 0 && c.reflector.state === 'waiting for the CRD', 'the kind is gone', 15_000);
});

test('tokens: a ServiceAccount token for our audience is accepted, others are not', async () => {
  await client.create(ServiceAccounts, { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'gw', namespace: ns } });
  const tokenFor = async (audience: string): Promise<string> => {
    const TokenRequests: Resource = { ...ServiceAccounts, plural: `serviceaccounts/gw/token` };
    const request = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', metadata: { name: 'gw', namespace: ns } };
    const answer = await client.create(TokenRequests, { ...request, spec: { audiences: [audience] } } as KubeObject);
    return (answer as unknown as { status: { token: string } }).status.token;
  };
  const verify = tokenVerifier(client, { audience: 'kgateway' });
  expect(await verify(await tokenFor('kgateway'))).toEqual({ namespace: ns, serviceAccount: 'gw' });
  expect(await verify(await tokenFor('other'))).toMatchObject({ retry: false });
  expect(await verify('nonsense')).toMatchObject({ retry: false });
});
