// A Service moves from one waypoint to another by weight, as `istio.io/use-waypoint-canary` says: both serve it. What they tell: metrics by Pod.
import { beforeAll, expect, test } from 'vitest';
import { Namespaces, Services } from '../../../src/kube/resources.ts';
import { eventually, kubectl, useCluster } from '../cluster/cluster.ts';
import { enableWaypoints } from './enable.ts';
import { ensureIstio } from './istio.ts';
import { echo, requestFrom, useZtunnel, waypoint } from './mesh.ts';

const cluster = useCluster();

/** A waypoint that tells who it is. */
const named = (name: string): string => `${waypoint(name)}---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: ${name}}
spec:
  parentRefs: [{name: ${name}}]
  rules:
    - filters: [{type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: x-waypoint, value: ${name}}]}}]
      backendRefs: [{name: echo, port: 80}]
`;

const get = (): Promise<string> => requestFrom(cluster, 'echo', 'http://echo/');

/** Of the next requests, those that came through each waypoint. */
async function shares(count: number): Promise<Record<string, number>> {
  const seen: Record<string, number> = {};
  for (let i = 0; i < count; i++) {
    const name = /ResponseHeader=X-Waypoint:(\S+)/i.exec(await get())?.[1] ?? 'none';
    seen[name] = (seen[name] ?? 0) + 1;
  }
  return seen;
}

beforeAll(async () => {
  await ensureIstio(cluster.client);
  await enableWaypoints();
  await cluster.patch(Namespaces, cluster.namespace, { metadata: { labels: { 'istio.io/dataplane-mode': 'ambient' } } });
  await cluster.apply(`${echo('echo')}${named('old')}---${named('new')}`);
  await cluster.patch(Services, `${cluster.namespace}/echo`, { metadata: { labels: { 'istio.io/use-waypoint': 'old' } } });
  await useZtunnel();
  for (const name of ['echo', 'old', 'new']) await cluster.rolledOut(name);
  await eventually(async () => expect(await shares(1)).toEqual({ old: 1 }));
}, 240_000);

const move = (weight: string): Promise<unknown> =>
  cluster.patch(Services, `${cluster.namespace}/echo`, {
    metadata: { labels: { 'istio.io/use-waypoint-canary': 'new' }, annotations: { 'istio.io/use-waypoint-canary-weight': weight } },
  });

test('from one to both to the other, and no request is lost', async () => {
  await move('50');
  await eventually(async () => expect(await shares(1)).toEqual({ new: 1 }));
  const both = await shares(16);
  expect(both['none']).toBeUndefined();
  expect(both['old']).toBeGreaterThan(2);
  expect(both['new']).toBeGreaterThan(2);
  await move('100');
  await eventually(async () => expect(await shares(4)).toEqual({ new: 4 }));
});

test('metrics have the names and labels of Istio', async () => {
  const path = async (): Promise<string> => {
    const [pod = ''] = (
      await kubectl('-n', cluster.namespace, 'get', 'pods', '-l', 'gateway.networking.k8s.io/gateway-name=new', '-o', 'name')
    ).split('\n');
    return `/api/v1/namespaces/${cluster.namespace}/pods/${pod.replace('pod/', '')}:9091/proxy/metrics`;
  };
  await eventually(async () => {
    await shares(4);
    const line = (await kubectl('get', '--raw', await path())).split('\n').find((l) => l.startsWith('istio_requests_total{'));
    for (const [label, value] of Object.entries({
      reporter: 'waypoint',
      source_principal: `spiffe://cluster.local/ns/${cluster.namespace}/sa/echo`,
      source_workload_namespace: cluster.namespace,
      destination_workload: 'echo',
      destination_service: `echo.${cluster.namespace}.svc.cluster.local`,
      response_code: '200',
      connection_security_policy: 'mutual_tls',
    })) {
      expect(line).toContain(`${label}="${value}"`);
    }
  });
});
