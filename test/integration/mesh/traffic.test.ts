// A waypoint between real Pods, with the test double of ztunnel (test/mesh). It works in the network namespaces of Pods, so the cluster has to run
// on this machine: the lab.
import { connect } from 'node:net';
import { beforeAll, describe, expect, test } from 'vitest';
import { Namespaces } from '../../../src/kube/resources.ts';
import { eventually, useCluster } from '../cluster/cluster.ts';
import { enableWaypoints } from './enable.ts';
import { ensureIstio } from './istio.ts';
import { echo, requestFrom, useZtunnel, waypoint } from './mesh.ts';

const cluster = useCluster();

beforeAll(async () => {
  await ensureIstio(cluster.client);
  await enableWaypoints();
  await cluster.patch(Namespaces, cluster.namespace, {
    metadata: { labels: { 'istio.io/dataplane-mode': 'ambient', 'istio.io/use-waypoint': 'wp' } },
  });
  await cluster.apply(echo('one') + echo('two') + waypoint('wp'));
  await useZtunnel();
  for (const name of ['one', 'two', 'wp']) await cluster.rolledOut(name);
  await eventually(async () => expect(await get('http://one/')).toContain('RequestHeader=X-Forwarded-For'));
}, 240_000);

const get = (url: string): Promise<string> => requestFrom(cluster, 'two', url);

describe('requests between Pods', () => {
  test('go through the waypoint, and their backend learns who asked', async () => {
    const [client] = await cluster.pods('app=two');
    const answer = await get('http://one/');
    expect(answer).toContain(`RequestHeader=X-Forwarded-For:${client?.status?.podIP}`);
    expect(answer).toMatch(/Hostname=one-/);
  });

  test('over gRPC as well', async () => {
    expect(await get('grpc://one:7070')).toMatch(/Hostname=one-/);
  });

  test('over TCP pass as they are', async () => {
    expect(await get('tcp://one:9090')).toMatch(/Hostname=one-/);
  });

  test('follow routes of the Service', async () => {
    await cluster.apply(`
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: one}
spec:
  parentRefs: [{group: '', kind: Service, name: one, port: 80}]
  rules: [{matches: [{path: {value: /two}}], backendRefs: [{name: two, port: 80}]}, {backendRefs: [{name: one, port: 80}]}]
`);
    await eventually(async () => expect(await get('http://one/two')).toMatch(/Hostname=two-/));
    expect(await get('http://one/')).toMatch(/Hostname=one-/);
    expect((await cluster.routeConditions('one')).map((c) => `${c.type}=${c.status}`)).toContain('Accepted=True');
  });
});

test('nobody but the ztunnel of its Pod reaches the listener of a waypoint: a forged identity has nowhere to go', async () => {
  const pods = await cluster.pods('gateway.networking.k8s.io/gateway-name=wp');
  expect(pods.length).toBeGreaterThan(0);
  for (const pod of pods) {
    const code = await new Promise((resolve) => {
      const socket = connect(15_088, pod.status?.podIP ?? '', () => resolve('connected'));
      socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code));
    });
    expect(code).toBe('ECONNREFUSED');
  }
});
