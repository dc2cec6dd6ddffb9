// GatewayParameters: how users shape the proxies.
import { beforeAll, describe, expect, test } from 'vitest';
import {
  Deployments,
  GatewayParameters,
  Gateways,
  HorizontalPodAutoscalers,
  PodDisruptionBudgets,
  Services,
} from '../../../src/kube/resources.ts';
import type { Resource } from '../../../src/kube/resources.ts';
import { eventually, useCluster } from './cluster.ts';
import { echoServer, gateway, route } from './objects.ts';
import { echo } from './traffic.ts';

const cluster = useCluster();

const withParameters = (name: string, parameters: string): string =>
  gateway(
    name,
    `  infrastructure: {parametersRef: {group: gateway.kgateway.dev, kind: GatewayParameters, name: ${parameters}}}
`,
  );
const parameters = (name: string, spec: string): string => `
apiVersion: gateway.kgateway.dev/v1alpha1
kind: GatewayParameters
metadata: {name: ${name}}
spec: ${spec}
`;

beforeAll(async () => {
  await cluster.apply(echoServer('echo'));
});

describe('a proxy with parameters', () => {
  beforeAll(async () => {
    await cluster.apply(
      parameters(
        'shaped',
        `
  kube:
    deployment: {replicas: 2, strategy: {rollingUpdate: {maxUnavailable: 0, maxSurge: 1}}}
    envoyContainer:
      image: {pullPolicy: Never}
      resources: {requests: {cpu: 5m, memory: 32Mi}, limits: {memory: 256Mi}}
      env: [{name: COLOUR, value: blue}]
    podTemplate: {extraLabels: {tier: front, app.kubernetes.io/name: not-mine}, extraAnnotations: {example.com/why: test}}
    service: {type: ClusterIP, extraLabels: {exposed: inside}, extraAnnotations: {example.com/dns: none}}
    podDisruptionBudget: {spec: {minAvailable: 1}}
`,
      ),
    );
    await cluster.apply(withParameters('shaped', 'shaped'));
    await cluster.rolledOut('shaped');
  });

  test('is deployed as they say', async () => {
    const { spec } = await cluster.get(Deployments, 'shaped');
    expect(spec).toMatchObject({ replicas: 2, strategy: { rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } } });
    expect(spec.template.metadata).toMatchObject({
      labels: { tier: 'front', 'app.kubernetes.io/name': 'shaped' },
      annotations: { 'example.com/why': 'test' },
    });
    const [container] = spec.template.spec?.containers ?? [];
    expect(container).toMatchObject({
      imagePullPolicy: 'Never',
      resources: { requests: { cpu: '5m', memory: '32Mi' }, limits: { memory: '256Mi' } },
    });
    expect(container?.env).toContainEqual({ name: 'COLOUR', value: 'blue' });
    expect(container?.env).toContainEqual(expect.objectContaining({ name: 'POD_NAME' }));
  });

  test('has the Service that they say, whose address is the Gateway’s', async () => {
    const { metadata, spec } = await cluster.get(Services, 'shaped');
    expect(metadata).toMatchObject({ labels: { exposed: 'inside' }, annotations: { 'example.com/dns': 'none' } });
    expect(spec.type).toBe('ClusterIP');
    expect(await cluster.address('shaped')).toBe(spec.clusterIP);
  });

  test('has a disruption budget over its own Pods', async () => {
    const { spec } = await cluster.get(PodDisruptionBudgets, 'shaped');
    expect(spec).toMatchObject({ minAvailable: 1, selector: { matchLabels: { 'gateway.networking.k8s.io/gateway-name': 'shaped' } } });
  });

  test('follows when they change: an autoscaler takes the replicas over, the budget goes, the Service opens', async () => {
    const spec = {
      kube: {
        deployment: { replicas: null },
        horizontalPodAutoscaler: { spec: { minReplicas: 1, maxReplicas: 3 } },
        podDisruptionBudget: null,
        service: { type: 'NodePort', ports: [{ port: 80, nodePort: 30_917 }] },
      },
    };
    await cluster.patch(GatewayParameters, 'shaped', { spec });
    await eventually(async () => {
      expect((await cluster.get(HorizontalPodAutoscalers, 'shaped')).spec).toMatchObject({
        minReplicas: 1,
        maxReplicas: 3,
        scaleTargetRef: { kind: 'Deployment', name: 'shaped' },
      });
      expect(await cluster.client.get(PodDisruptionBudgets, `${cluster.namespace}/shaped`)).toBeUndefined();
      const service = await cluster.get(Services, 'shaped');
      expect(service.spec).toMatchObject({ type: 'NodePort', ports: [{ port: 80, nodePort: 30_917 }] });
    });
    expect((await cluster.get(Deployments, 'shaped')).spec.replicas).toBe(2);
    // Nobody but the autoscaler says how many: what it had stays, and what somebody sets by hand too.
    await cluster.patch(Deployments, 'shaped', { spec: { replicas: 1 } });
    await cluster.patch(GatewayParameters, 'shaped', { spec: { kube: { podTemplate: { extraLabels: { tier: 'back' } } } } });
    await eventually(async () => {
      const { spec: now } = await cluster.get(Deployments, 'shaped');
      expect([now.template.metadata?.labels?.['tier'], now.replicas]).toEqual(['back', 1]);
    });
    await cluster.patch(GatewayParameters, 'shaped', { spec: { kube: { horizontalPodAutoscaler: null } } });
    await eventually(async () => expect(await cluster.client.get(HorizontalPodAutoscalers, `${cluster.namespace}/shaped`)).toBeUndefined());
  });
});

test('of a self-managed proxy nothing is deployed', async () => {
  await cluster.apply(parameters('own', '{selfManaged: {}}'));
  await cluster.apply(withParameters('own', 'own'));
  await eventually(async () => expect(await cluster.gatewayConditions('own')).toContain('Accepted=True Accepted'));
  // A Gateway that came later has its proxy: the applier has been past this one.
  await cluster.apply(gateway('later'));
  await cluster.address('later');
  for (const resource of [Deployments, Services] as readonly Resource[])
    expect(await cluster.client.get(resource, `${cluster.namespace}/own`)).toBeUndefined();
});

describe('parameters that do not exist', () => {
  let address: string;
  beforeAll(async () => {
    await cluster.apply(gateway('web'));
    await cluster.apply(route('web', { gateway: 'web', host: 'web.example.com', to: 'echo' }));
    address = await cluster.address('web');
    await eventually(() => echo({ address, host: 'web.example.com' }));
  });

  test('leave what runs as it is, and are said on the Gateway', async () => {
    const before = await cluster.get(Deployments, 'web');
    await using traffic = await cluster.traffic({ address, host: 'web.example.com' });
    await cluster.apply(withParameters('web', 'missing'));
    await eventually(async () => expect(await cluster.gatewayConditions('web')).toContain('Accepted=False InvalidParameters'));
    const { status } = await cluster.get(Gateways, 'web');
    expect(status?.conditions?.find((c) => c.type === 'Accepted')?.message).toContain(`${cluster.namespace}/missing`);
    await traffic.more(200);
    expect(traffic.failures).toEqual([]);
    expect((await cluster.get(Deployments, 'web')).metadata.generation).toBe(before.metadata.generation);
  });

  test('count as soon as they do', async () => {
    await cluster.apply(parameters('missing', '{kube: {podTemplate: {extraLabels: {found: "yes"}}}}'));
    await eventually(async () => expect(await cluster.gatewayConditions('web')).toContain('Accepted=True Accepted'));
    await eventually(async () => {
      const { spec } = await cluster.get(Deployments, 'web');
      expect(spec.template.metadata?.labels).toMatchObject({ found: 'yes' });
    });
    await cluster.rolledOut('web');
    await echo({ address, host: 'web.example.com' });
  });
});
