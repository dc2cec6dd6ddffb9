// InferencePools in a cluster: the CRD may come after the controller; Pods are found by the selector of a pool; its status is that of its routes.
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { Deployments, HTTPRoutes, InferencePools } from '../../../src/kube/resources.ts';
import { enable } from '../enable.ts';
import { described, eventually, kubectl, useCluster } from './cluster.ts';
import { echoServer, gateway } from './objects.ts';
import { echo } from './traffic.ts';

const cluster = useCluster();
const target = { address: '', host: 'models.example.com' };

/** The picker is a Service without Pods: the pool fails open, and the proxy chooses among all Pods. What a picker chooses is tested without a cluster. */
const objects = `
apiVersion: v1
kind: Service
metadata: {name: picker}
spec: {selector: {app: nobody}, ports: [{port: 9002}]}
---
apiVersion: inference.networking.k8s.io/v1
kind: InferencePool
metadata: {name: models}
spec:
  selector: {matchLabels: {app: models}}
  targetPorts: [{number: 3000}]
  endpointPickerRef: {name: picker, port: {number: 9002}, failureMode: FailOpen}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: models}
spec:
  parentRefs: [{name: gw}]
  hostnames: [models.example.com]
  rules: [{backendRefs: [{group: inference.networking.k8s.io, kind: InferencePool, name: models}]}]
`;

const conditions = async (): Promise<readonly (readonly string[])[]> => {
  const { status } = await cluster.get(InferencePools, 'models');
  return (status?.parents ?? []).filter((p) => p.parentRef.name === 'gw').map((p) => described(p.conditions));
};

beforeAll(async () => {
  await enable('inferenceExtension.enabled');
  await cluster.apply(`${echoServer('models')}---${echoServer('others')}---${gateway('gw')}`);
  await kubectl('apply', '--server-side', '-f', join(import.meta.dirname, '../../../manifests/inference-extension'));
  await eventually(() => cluster.apply(objects));
  target.address = await cluster.address('gw');
}, 120_000);

test('the Pods that the pool selects serve, as they come and go', async () => {
  const servers = async (): Promise<ReadonlySet<string>> =>
    new Set(await Promise.all(Array.from({ length: 20 }, async () => (await echo(target)).pod)));
  await eventually(async () => {
    const pods = (await cluster.pods('app=models')).map((p) => p.metadata.name);
    expect([...(await servers())]).toEqual(pods);
  }, 60);
  await cluster.patch(Deployments, 'models', { spec: { replicas: 2 } });
  await eventually(async () => expect((await servers()).size).toBe(2), 60);
  await cluster.patch(Deployments, 'models', { spec: { replicas: 0 } });
  await eventually(async () => expect(echo(target)).rejects.toThrow(/503/));
});

test('the status of the pool has the Gateway as long as a route leads there', async () => {
  await eventually(async () => expect(await conditions()).toEqual([['Accepted=True Accepted', 'ResolvedRefs=True ResolvedRefs']]));
  await cluster.remove(HTTPRoutes, 'models');
  await eventually(async () => expect(await conditions()).toEqual([]));
});
