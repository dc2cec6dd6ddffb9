// Pods by their own addresses behind waypoints of both classes, with istiod and the double of ztunnel.
import { beforeAll, describe, expect, test } from 'vitest';
import { Namespaces } from '../../../src/kube/resources.ts';
import { eventually, useCluster } from '../cluster/cluster.ts';
import { enableWaypoints } from './enable.ts';
import { ensureIstio } from './istio.ts';
import { echo, hboneListener, requestFrom, useZtunnel, waypoint } from './mesh.ts';

const cluster = useCluster();
const forAll = (yaml: string): string => yaml.replace('waypoint-for: service', 'waypoint-for: all');

beforeAll(async () => {
  await ensureIstio(cluster.client);
  await enableWaypoints();
  await cluster.patch(Namespaces, cluster.namespace, {
    metadata: { labels: { 'istio.io/dataplane-mode': 'ambient', 'istio.io/use-waypoint': 'wp' } },
  });
  const native = echo('native').replace('labels: {app: native}', 'labels: {app: native, istio.io/use-waypoint: hbone}');
  await cluster.apply(
    echo('one') +
      echo('two') +
      native +
      [waypoint('wp'), waypoint('hbone', 'kgateway-waypoint-hbone', hboneListener)].map(forAll).join('---'),
  );
  await useZtunnel();
  for (const name of ['one', 'two', 'native', 'wp', 'hbone']) await cluster.rolledOut(name);
}, 240_000);

async function addressOf(app: string): Promise<string> {
  const [pod] = await cluster.pods(`app=${app}`);
  return pod?.status?.podIP ?? '';
}

describe.each(['one', 'native'])('the Pod of %s', (app) => {
  const get = async (port = 8080, path = '/', scheme = 'http'): Promise<string> =>
    requestFrom(cluster, 'two', `${scheme}://${await addressOf(app)}:${port}${path}`);

  test('is reached by its address through its waypoint, which says who asked', async () => {
    const [client] = await cluster.pods('app=two');
    await eventually(async () => expect(await get()).toContain(`RequestHeader=X-Forwarded-For:${client?.status?.podIP}`));
    expect(await get()).toMatch(new RegExp(`Hostname=${app}-`));
  });

  test('over TCP too', async () => {
    expect(await get(9090, '', 'tcp')).toMatch(new RegExp(`Hostname=${app}-`));
  });

  test('is behind policies of the waypoint', async () => {
    const gateway = app === 'one' ? 'wp' : 'hbone';
    await cluster.apply(`
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: ${app}}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: ${gateway}}]
  action: DENY
  rules: [{from: [{source: {serviceAccounts: [two]}}], to: [{operation: {paths: [/no]}}]}]
`);
    await eventually(async () => expect(await get(8080, '/no')).toContain('StatusCode=403'));
    expect(await get()).toContain('StatusCode=200');
  });
});
