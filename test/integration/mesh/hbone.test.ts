// A waypoint that ends HBONE itself, with istiod's certificates, between real Pods. The clients' ztunnel is the test double, so the lab it is.
import { connect as connectTls } from 'node:tls';
import { beforeAll, describe, expect, test } from 'vitest';
import { adminPort } from '../../../src/deploy/bootstrap.ts';
import { Deployments, Namespaces, Services } from '../../../src/kube/resources.ts';
import type { Condition } from '../../../src/kube/types/meta.ts';
import { meshCa } from '../../mesh/certificate-authority.ts';
import { openHbone } from '../../mesh/hbone.ts';
import { identityOf } from '../../mesh/identities.ts';
import { eventually, kubectl, portForward, useCluster } from '../cluster/cluster.ts';
import { enableWaypoints } from './enable.ts';
import { ensureIstio } from './istio.ts';
import { closedLoop, echo, hboneListener, requestFrom, useZtunnel, waypoint } from './mesh.ts';

const cluster = useCluster();

beforeAll(async () => {
  await ensureIstio(cluster.client);
  await enableWaypoints();
  const labels = { 'istio.io/dataplane-mode': 'ambient', 'istio.io/use-waypoint': 'wp' };
  await cluster.patch(Namespaces, cluster.namespace, { metadata: { labels } });
  await cluster.apply(echo('one') + echo('two') + waypoint('wp', 'kgateway-waypoint-hbone', hboneListener));
  await useZtunnel();
  for (const name of ['one', 'two', 'wp']) await cluster.rolledOut(name);
  await eventually(async () => expect(await get('http://one/')).toContain('RequestHeader=X-Forwarded-For'));
}, 200_000);

const get = (...args: readonly string[]): Promise<string> => requestFrom(cluster, 'two', ...args);

/** A page of Envoy's administration. */
async function admin(path: string): Promise<string> {
  await using forward = await portForward(cluster.namespace, 'deploy/wp', adminPort);
  return (await fetch(`http://127.0.0.1:${forward.port}${path}`)).text();
}

test('istiod binds Services to it, and certified it as its ServiceAccount', async () => {
  await eventually(async () => {
    const { status } = (await cluster.get(Services, 'one')) as { readonly status?: { readonly conditions?: readonly Condition[] } };
    const bound = status?.conditions?.find((c) => c.type === 'istio.io/WaypointBound');
    expect(bound).toMatchObject({ status: 'True', message: `Successfully attached to waypoint ${cluster.namespace}/wp` });
  });
  expect(await admin('/certs')).toContain(identityOf(cluster.namespace, 'wp'));
  expect((await cluster.get(Deployments, 'wp')).spec.replicas).toBe(2);
});

describe('requests between Pods', () => {
  test('go through the waypoint by tunnels, and their backend learns who asked', async () => {
    const [client] = await cluster.pods('app=two');
    const answer = await get('http://one/');
    expect(answer).toContain(`RequestHeader=X-Forwarded-For:${client?.status?.podIP}`);
    expect(answer).toMatch(/Hostname=one-/);
    expect(await get('grpc://one:7070')).toMatch(/Hostname=one-/);
    expect(await get('tcp://one:9090')).toMatch(/Hostname=one-/);
  });

  test('leave the waypoint by tunnels to Pods of the mesh', async () => {
    await eventually(async () => {
      await get('http://one/', '--count=10');
      const stats = await admin('/stats?filter=cluster.connect_originate.upstream_cx_total');
      expect(Number(stats.split(':')[1])).toBeGreaterThan(0);
    });
  });

  test('are decided by the identity of the certificate', async () => {
    await cluster.apply(`
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: deny}
spec:
  targetRefs: [{kind: Service, group: '', name: one}]
  action: DENY
  rules: [{from: [{source: {principals: ['cluster.local/ns/${cluster.namespace}/sa/two']}}]}]
`);
    await eventually(async () => expect(await get('http://one/')).toContain('StatusCode=403'));
    expect(await get('http://two/')).toMatch(/StatusCode=200/);
    await kubectl('-n', cluster.namespace, 'delete', 'authorizationpolicy', 'deny');
    await eventually(async () => expect(await get('http://one/')).toContain('StatusCode=200'));
  });

  test('are many, and none is lost', async () => {
    const [client] = await cluster.pods('app=two');
    const { spec } = await cluster.get(Services, 'one');
    await using loop = closedLoop(client?.status?.podIP ?? '', [[`http://${spec.clusterIP}/`, 200]]);
    expect(await loop.next(500)).toEqual([]);
  });
});

test('an ingress whose Pods are captured goes through it to Services that ask for that', async () => {
  await cluster.apply(`
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge}
spec:
  gatewayClassName: kgateway
  infrastructure: {labels: {istio.io/dataplane-mode: ambient}}
  listeners: [{name: http, port: 80, protocol: HTTP}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: edge}
spec:
  parentRefs: [{name: edge}]
  rules: [{backendRefs: [{name: one, port: 80}]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: marked}
spec:
  parentRefs: [{group: '', kind: Service, name: one}]
  rules:
    - filters: [{type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: traversed, value: waypoint}]}}]
      backendRefs: [{name: one, port: 80}]
`);
  const url = `http://${await cluster.address('edge')}/`;
  const traversed = async (): Promise<string | null> => {
    const answer = await fetch(url);
    expect(answer.status).toBe(200);
    return answer.headers.get('traversed');
  };
  await eventually(async () => expect(await traversed()).toBeNull());
  await cluster.patch(Services, 'one', { metadata: { labels: { 'istio.io/ingress-use-waypoint': 'true' } } });
  await eventually(async () => expect(await traversed()).toBe('waypoint'));
  await cluster.patch(Services, 'one', { metadata: { labels: { 'istio.io/ingress-use-waypoint': null } } });
  await eventually(async () => expect(await traversed()).toBeNull());
});

test('nobody without a certificate of the mesh gets in', async () => {
  const [pod] = await cluster.pods('gateway.networking.k8s.io/gateway-name=wp');
  const place = { host: pod?.status?.podIP ?? '', port: 15_008 };
  const foreign = await meshCa('foreign');
  await expect(openHbone(place, { rejectUnauthorized: false } as never)).rejects.toThrow();
  await expect(openHbone(place, { ...(await foreign.issue(identityOf('a', 'b'))), rejectUnauthorized: false } as never)).rejects.toThrow();
  const peer = await new Promise<string | undefined>((resolve, reject) => {
    const socket = connectTls({ ...place, rejectUnauthorized: false, ALPNProtocols: ['h2'] });
    socket.once('secureConnect', () => {
      resolve(socket.getPeerCertificate().subjectaltname);
      socket.destroy();
    });
    socket.once('error', reject);
  });
  expect(peer).toBe(`URI:${identityOf(cluster.namespace, 'wp')}`);
});
