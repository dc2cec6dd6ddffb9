import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ConfigMaps, Deployments, HorizontalPodAutoscalers, PodDisruptionBudgets, ServiceAccounts, Services } from '../kube/resources.ts';
import type { Resource } from '../kube/resources.ts';
import { testApiServer } from '../kube/testing/api-server.ts';
import type { TestApiServer } from '../kube/testing/api-server.ts';
import { until } from '../kube/testing/until.ts';
import type { KubeObject } from '../kube/types/meta.ts';
import { keyOf } from '../kube/types/meta.ts';
import { Graph, source } from '../krt/index.ts';
import { startApplier } from './applier.ts';
import type { DeployProblem, GatewayManifests } from './applier.ts';

const budget = { apiVersion: 'policy/v1', kind: 'PodDisruptionBudget' };
const account = { apiVersion: 'v1', kind: 'ServiceAccount' };
const config = { apiVersion: 'v1', kind: 'ConfigMap' };

function object(type: { apiVersion: string; kind: string }, uid = 'u1', more: object = {}): KubeObject {
  const owner = { apiVersion: 'gateway.networking.k8s.io/v1', kind: 'Gateway', name: 'edge', uid, controller: true };
  return { ...type, metadata: { namespace: 'demo', name: 'edge', ownerReferences: [owner] }, ...more };
}

function manifests(objects: readonly KubeObject[], uid = 'u1'): GatewayManifests {
  return { key: 'demo/edge', uid, objects };
}

let api: TestApiServer;
let applier: AsyncDisposable;
const graphs = (g: Graph) => {
  return {
    manifests: source<GatewayManifests>(g, { name: 'manifests', key: (m) => m.key, equals: () => false }),
    problems: source<DeployProblem>(g, { name: 'problems', key: (p) => p.gateway }),
    observed: source<KubeObject>(g, { name: 'observed', key: keyOf }),
  };
};
let input: ReturnType<typeof graphs>;
let graph: Graph;

beforeEach(async () => {
  api = await testApiServer([ConfigMaps, Deployments, HorizontalPodAutoscalers, PodDisruptionBudgets, ServiceAccounts, Services]);
  graph = new Graph({ schedule: (flush) => queueMicrotask(flush) });
  input = graphs(graph);
  for (const s of Object.values(input)) s.markSynced();
  applier = startApplier({ ...input, observed: [input.observed], client: api.client, backoff: { first: 5, max: 20 } });
});

afterEach(async () => {
  await applier[Symbol.asyncDispose]();
  await api[Symbol.asyncDispose]();
});

const written = (method: string) => api.requests.filter((r) => r.startsWith(method)).length;
const there = (r: Resource) => api.read(r, 'demo/edge');
const problem = () => input.problems.get('demo/edge');

describe('applies', () => {
  test('only what changed', async () => {
    input.manifests.set(manifests([object(account), object(config, 'u1', { data: { a: '1' } })]));
    await until(() => there(ConfigMaps), 'the ConfigMap exists');
    expect(written('PATCH')).toBe(2);

    input.manifests.set(manifests([object(account), object(config, 'u1', { data: { a: '2' } })]));
    await until(() => written('PATCH') === 3, 'the ConfigMap is applied again');
    expect(there(ConfigMaps)).toMatchObject({ data: { a: '2' } });
    expect(api.requests.filter((r) => r.includes('fieldManager=kgateway.dev%2Fkgateway') && r.includes('force=true'))).toHaveLength(3);
  });

  test('no number of replicas any more without losing any', async () => {
    const deployment = { apiVersion: 'apps/v1', kind: 'Deployment' };
    const spec = (more: object) => ({ spec: { selector: {}, template: {}, ...more } });
    const managedFields = [{ manager: 'kgateway.dev/kgateway', operation: 'Apply', fieldsV1: { 'f:spec': { 'f:replicas': {} } } }];
    const existing = object(deployment, 'u1', spec({ replicas: 3 }));
    api.put<KubeObject>(Deployments, { ...existing, metadata: { ...existing.metadata, managedFields } } as KubeObject);
    input.manifests.set(manifests([object(deployment, 'u1', spec({}))]));
    await until(() => written('PATCH') === 2, 'the number is handed over and the rest is applied');
    const managers = api.requests.filter((r) => r.startsWith('PATCH')).map((r) => /fieldManager=([^&]*)/.exec(r)?.[1]);
    expect(managers).toEqual(['kgateway.dev%2Fkgateway-replicas', 'kgateway.dev%2Fkgateway']);
  });

  test('again what somebody deleted', async () => {
    input.manifests.set(manifests([object(config)]));
    await until(() => there(ConfigMaps), 'the ConfigMap exists');
    input.observed.set(object(config));
    graph.flush();
    api.remove(ConfigMaps, 'demo/edge');
    input.observed.delete('demo/edge');
    await until(() => there(ConfigMaps), 'the ConfigMap exists again');
  });
});

describe('never takes or deletes what is not the Gateway’s', () => {
  test('an object of the same name is reported, and taken once it is gone', async () => {
    api.put(ServiceAccounts, { ...account, metadata: { namespace: 'demo', name: 'edge', labels: { mine: 'yes' } } });
    input.manifests.set(manifests([object(account), object(config)]));
    await until(problem, 'a problem is reported');
    expect(problem()).toMatchObject({
      object: 'ServiceAccount edge',
      message: expect.stringMatching(/does not belong to Gateway demo\/edge.*rename/),
    });
    expect(written('PATCH')).toBe(0);

    api.remove(ServiceAccounts, 'demo/edge');
    await until(() => there(ConfigMaps) && !problem(), 'everything is applied and the problem gone');
  });

  test('objects of an earlier Gateway of the name are left to the garbage collector', async () => {
    api.put(ConfigMaps, object(config, 'u0'));
    input.manifests.set(manifests([object(config)]));
    await until(problem, 'a problem is reported');
    expect(problem()?.message).toMatch(/earlier Gateway/);
  });

  test('a missing input deletes nothing', async () => {
    input.manifests.set(manifests([object(config), object(budget)]));
    await until(() => there(PodDisruptionBudgets), 'all is applied');
    input.manifests.delete('demo/edge');
    await until(() => input.manifests.size === 0, 'the input is gone');
    expect(written('DELETE')).toBe(0);
    expect(there(ConfigMaps)).toBeDefined();
  });
});

describe('an optional object', () => {
  test('goes when it is no longer asked for', async () => {
    input.manifests.set(manifests([object(config), object(budget)]));
    await until(() => there(PodDisruptionBudgets), 'the budget exists');
    input.manifests.set(manifests([object(config)]));
    await until(() => !there(PodDisruptionBudgets), 'the budget is gone');
    expect(there(ConfigMaps)).toBeDefined();
  });

  test('goes when a former leader made it', async () => {
    api.put(PodDisruptionBudgets, object(budget) as never);
    input.manifests.set(manifests([object(config)]));
    await until(() => !there(PodDisruptionBudgets), 'the budget is gone');
  });

  test('stays when a user made it', async () => {
    api.put(PodDisruptionBudgets, { ...budget, metadata: { namespace: 'demo', name: 'edge' }, spec: {} });
    input.manifests.set(manifests([object(config)]));
    await until(() => api.requests.some((r) => r.includes('poddisruptionbudgets')), 'it was looked for');
    await until(() => there(ConfigMaps), 'the ConfigMap exists');
    expect(written('DELETE')).toBe(0);
  });
});

test('a failure is reported with its object, tried again, and cleared', async () => {
  api.fail('PATCH /api/v1/namespaces/demo/configmaps', 503, 2);
  input.manifests.set(manifests([object(account), object(config)]));
  await until(problem, 'a problem is reported');
  expect(problem()?.object).toBe('ConfigMap edge');
  await until(() => there(ConfigMaps) && !problem(), 'the ConfigMap exists and the problem is gone');
  expect(api.requests.filter((r) => r.startsWith('PATCH') && r.includes('serviceaccounts'))).toHaveLength(1);
});

test('after its end it writes nothing', async () => {
  await applier[Symbol.asyncDispose]();
  input.manifests.set(manifests([object(config)]));
  await until(() => input.manifests.size === 1, 'the input is there');
  expect(api.requests).toEqual([]);
});
