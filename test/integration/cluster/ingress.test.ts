// Ingresses in a cluster: their class gets a Gateway, they get its addresses and its traffic, and all of it goes with the class.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Deployments, Gateways, IngressClasses, Ingresses } from '../../../src/kube/resources.ts';
import { controllerLog, eventually, useCluster } from './cluster.ts';
import { echoServer } from './objects.ts';
import { echo } from './traffic.ts';

const cluster = useCluster();
const startedAt = new Date();
let className = '';

beforeAll(async () => {
  className = cluster.namespace;
  await cluster.apply(`${echoServer('echo')}---
apiVersion: gateway.kgateway.dev/v1alpha1
kind: GatewayParameters
metadata: {name: small}
spec: {kube: {deployment: {replicas: 1}}}
---
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: ${className}}
spec:
  controller: kgateway.dev/kgateway
  parameters: {apiGroup: gateway.kgateway.dev, kind: GatewayParameters, name: small, scope: Namespace, namespace: ${cluster.namespace}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: echo}
spec:
  ingressClassName: ${className}
  tls: [{hosts: [echo.example.com], secretName: missing}]
  rules:
    - host: echo.example.com
      http: {paths: [{path: /a, pathType: Prefix, backend: {service: {name: echo, port: {name: http}}}}]}
`);
});
afterAll(async () => {
  await cluster.remove(IngressClasses, className);
});

test('an Ingress gets the addresses of the Gateway of its class, and traffic', async () => {
  const gateway = `${className}-ingress`;
  await eventually(() => cluster.get(Gateways, gateway));
  const address = await cluster.address(gateway);
  await eventually(async () => {
    const { status } = await cluster.get(Ingresses, 'echo');
    expect(status?.loadBalancer?.ingress).toEqual([{ ip: address }]);
  });
  await eventually(async () => {
    expect((await echo({ address, host: 'echo.example.com', path: '/a/b' })).path).toBe('/a/b');
  });
});

test('a Secret that is missing is said in the log, once', async () => {
  await eventually(async () => {
    const lines = (await controllerLog(startedAt)).filter((l) => l.includes(`"ingress":"${cluster.namespace}/echo"`));
    expect(lines.filter((l) => /TLS of host echo\.example\.com.*missing/.test(l))).toHaveLength(1);
  });
});

test('all of it goes with the class', async () => {
  await cluster.remove(IngressClasses, className);
  await eventually(async () => {
    expect(await cluster.client.get(Gateways, `${cluster.namespace}/${className}-ingress`)).toBeUndefined();
    expect(await cluster.client.get(Deployments, `${cluster.namespace}/${className}-ingress`)).toBeUndefined();
  }, 60);
});
