/** An ingress in the mesh: what goes to a Service that wants it leaves for the Service's own address, where ztunnel takes it to the waypoint. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Backend, gatewayOf, objectOf, routeOf, sliceOf, startBackend } from '../backend.ts';
import { type LocalGateway, call, echoOf, eventually, problemsDuring, startLocalGateway } from '../local.ts';
import { freePorts } from '../ports.ts';

/** Stands for ztunnel: what arrives there was sent to the Service's address. */
const vip = '127.0.77.1';
let gateway: LocalGateway;
let pod: Backend;
let waypoint: Backend;
let port = 0;

const service = (labels: string, ips = `'fd00::77', '${vip}'`): string => {
  const metadata = `labels: { istio.io/use-waypoint: wp${labels && `, ${labels}`} }`;
  const spec = `clusterIPs: [${ips}], ports: [{ name: http, port: ${port} }]`;
  return objectOf('v1', 'Service', 'echo', spec, metadata) + sliceOf('echo', `{ name: http, port: ${pod.port} }`);
};

const proxy = (annotations: string): string => `---
apiVersion: v1
kind: Pod
metadata: { name: gw-1, labels: { gateway.networking.k8s.io/gateway-name: gw }, annotations: { ${annotations} } }
spec: { containers: [{ name: envoy }] }
status: { phase: Running, podIPs: [{ ip: 10.0.0.1 }] }
`;

const namespace = (labels: string): string => `---
apiVersion: v1
kind: Namespace
metadata: { name: default, labels: { ${labels} } }
`;

const captured = 'ambient.istio.io/redirection: enabled';
const wanted = "istio.io/ingress-use-waypoint: 'true'";

const get = () => call(gateway.port(80), '/');
const goesTo = (backend: Backend) => eventually(`requests go to ${backend.name}`, async () => echoOf(await get()).service === backend.name);

beforeAll(async () => {
  [port = 0] = await freePorts(1);
  pod = await startBackend('pod');
  waypoint = await startBackend('waypoint', { address: vip, port });
  gateway = await startLocalGateway(
    {
      'gateway.yaml': `${gatewayOf('{ name: http, protocol: HTTP, port: 80 }')}---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: { name: istio-waypoint }
spec: { controllerName: istio.io/mesh-controller }
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: { name: wp }
spec: { gatewayClassName: istio-waypoint, listeners: [{ name: mesh, protocol: HBONE, port: 15008 }] }
`,
      'service.yaml': service(''),
      'pod.yaml': proxy(''),
      'routes.yaml': routeOf('all', [], [`{ backendRefs: [{ name: echo, port: ${port} }] }`]),
    },
    [80],
  );
  await goesTo(pod);
});

afterAll(async () => {
  expect(gateway.rejections()).toEqual([]);
  await gateway.stop();
  pod.close();
  waypoint.close();
});

test('a Service that asks for it is reached by its address from the moment that ztunnel has the Pod, without a request lost', async () => {
  await gateway.write('service.yaml', service(wanted));
  expect(echoOf(await get()).service).toBe('pod');
  expect(
    await problemsDuring(get, async () => {
      await gateway.write('pod.yaml', proxy(captured));
      await goesTo(waypoint);
    }),
  ).toEqual([]);
  expect(
    await problemsDuring(get, async () => {
      await gateway.write('service.yaml', service(''));
      await goesTo(pod);
    }),
  ).toEqual([]);
});

test('the label of the namespace holds for Services without one', async () => {
  await gateway.write('namespace.yaml', namespace(wanted));
  await goesTo(waypoint);
  await gateway.write('service.yaml', service("istio.io/ingress-use-waypoint: 'false'"));
  await goesTo(pod);
});

test('an address that comes later is used when it is there; a headless Service, or one without a waypoint, is reached directly', async () => {
  await gateway.write('service.yaml', service('', "'None'"));
  await goesTo(pod);
  await gateway.write('service.yaml', service(''));
  await goesTo(waypoint);
  await gateway.write('service.yaml', service('').replace('use-waypoint: wp', 'use-waypoint: none'));
  await goesTo(pod);
});
