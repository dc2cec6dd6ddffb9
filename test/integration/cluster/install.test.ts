// What a user gets from the charts, a Gateway and an HTTPRoute.
import { beforeAll, describe, expect, test } from 'vitest';
import { supportedFeatures } from '../../../src/gateway/supported-features.ts';
import { ConfigMaps, Deployments, GatewayClasses, Gateways, ServiceAccounts, Services } from '../../../src/kube/resources.ts';
import { described, eventually, useCluster } from './cluster.ts';
import { echoServer, gateway, route } from './objects.ts';
import { echo, send } from './traffic.ts';

const cluster = useCluster();

const infrastructure = `
  infrastructure:
    labels: {team: edge, app.kubernetes.io/name: not-mine}
    annotations: {example.com/owner: edge}
`;

describe('a Gateway and a route', () => {
  let address: string;
  beforeAll(async () => {
    await cluster.apply(echoServer('echo'));
    await cluster.apply(gateway('web', infrastructure));
    await cluster.apply(route('web', { gateway: 'web', host: 'web.example.com', to: 'echo' }));
    address = await cluster.address('web');
  });

  test('the class is accepted and says what it supports', async () => {
    const { status } = await cluster.get(GatewayClasses, 'kgateway');
    expect(described(status?.conditions)).toEqual(['Accepted=True Accepted', 'SupportedVersion=True SupportedVersion']);
    const features = (status as { supportedFeatures?: { name: string }[] }).supportedFeatures?.map((f) => f.name);
    expect(features).toEqual([...supportedFeatures].sort());
  });

  test('the Gateway is accepted and programmed', async () => {
    expect(await cluster.gatewayConditions('web')).toEqual(
      expect.arrayContaining(['Accepted=True Accepted', 'Programmed=True Programmed']),
    );
    await eventually(async () => {
      const [listener] = (await cluster.get(Gateways, 'web')).status?.listeners ?? [];
      expect(listener).toMatchObject({ name: 'http', attachedRoutes: 1 });
      expect(listener?.supportedKinds?.map((k) => k.kind)).toContain('HTTPRoute');
    });
  });

  test('the route serves, for its host alone', async () => {
    const got = await eventually(() => echo({ address, host: 'web.example.com', path: '/a?b=c' }));
    expect(got).toMatchObject({ path: '/a?b=c', namespace: cluster.namespace });
    expect((await send({ address, host: 'other.example.com' })).status).toBe(404);
    const conditions = await cluster.routeConditions('web');
    expect(described(conditions)).toEqual([
      'Accepted=True Accepted',
      'ResolvedRefs=True ResolvedRefs',
      'kgateway.dev/Programmed=True Programmed',
    ]);
  });

  test('its proxy runs under its own ServiceAccount, without a token for the API server', async () => {
    const { spec } = await cluster.get(Deployments, 'web');
    expect(spec.template.spec).toMatchObject({ serviceAccountName: 'web', automountServiceAccountToken: false });
    expect(spec.template.spec?.containers).toMatchObject([{ securityContext: { readOnlyRootFilesystem: true, runAsNonRoot: true } }]);
    expect(await cluster.get(ServiceAccounts, 'web')).toMatchObject({ automountServiceAccountToken: false });
  });

  test.each([Deployments, Services, ServiceAccounts, ConfigMaps])(
    'the $kind belongs to the Gateway and carries its labels',
    async (resource) => {
      const owner = await cluster.get(Gateways, 'web');
      const { metadata } = await cluster.get(resource, 'web');
      expect(metadata.ownerReferences).toMatchObject([{ kind: 'Gateway', name: 'web', uid: owner.metadata.uid, controller: true }]);
      expect(metadata.labels).toMatchObject({
        'app.kubernetes.io/managed-by': 'kgateway',
        'app.kubernetes.io/name': 'web',
        'gateway.networking.k8s.io/gateway-name': 'web',
        'gateway.networking.k8s.io/gateway-class-name': 'kgateway',
        team: 'edge',
      });
      expect(metadata.annotations).toMatchObject({ 'example.com/owner': 'edge' });
    },
  );

  test('the Pods carry labels and annotations of the infrastructure too', async () => {
    const [pod] = await cluster.pods('gateway.networking.k8s.io/gateway-name=web');
    expect(pod?.metadata.labels).toMatchObject({ team: 'edge', 'app.kubernetes.io/name': 'web' });
    expect(pod?.metadata.annotations).toMatchObject({ 'example.com/owner': 'edge' });
  });

  test('what is taken from the proxy comes back', async () => {
    const { metadata } = await cluster.get(Services, 'web');
    await cluster.remove(Services, 'web');
    await eventually(async () => expect((await cluster.get(Services, 'web')).metadata.uid).not.toBe(metadata.uid));
    const next = await cluster.address('web');
    await eventually(() => echo({ address: next, host: 'web.example.com' }));
  });

  test('all of it goes with the Gateway', async () => {
    await cluster.remove(Gateways, 'web');
    await eventually(async () => {
      const left = await Promise.all(
        [Deployments, Services, ServiceAccounts, ConfigMaps].map((r) => cluster.client.get(r, `${cluster.namespace}/web`)),
      );
      expect(left.map((o) => o?.kind)).toEqual([undefined, undefined, undefined, undefined]);
    });
    await eventually(async () => expect(await cluster.routeConditions('web')).toEqual([]));
  });
});
