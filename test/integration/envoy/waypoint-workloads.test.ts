/** Workloads behind a waypoint under their own addresses (`istio.io/waypoint-for: all`), through a real Envoy. */
import type { Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { detectionTimeoutMs } from '../../../src/xds/translate/waypoint-detect.ts';
import { type Backend, startBackend } from '../backend.ts';
import { type L4Backend, startTcpBackend } from '../l4.ts';
import { type LocalGateway, call, echoOf, eventually, startLocalGateway } from '../local.ts';
import { machineAddress } from '../machine.ts';
import { type Destination, waypointClient, waypointGateway } from '../waypoint.ts';

const address = machineAddress();
const vip = '10.96.3.1';
let gateway: LocalGateway;
let web: Backend;
let declaredWeb: Backend;
let mail: L4Backend;
let declaredMail: L4Backend;
const client = waypointClient(() => gateway.port(15_088), address);
const { get } = client;

const spiffe = (namespace: string): string => `spiffe://cluster.local/ns/${namespace}/sa/client`;
const silent = detectionTimeoutMs * 3;
const request = (path: string): string => `GET ${path} HTTP/1.1\r\nhost: pod\r\nconnection: close\r\n\r\n`;

const pod = (name = 'echo-7d4b9c8f6d-x2x5k', { ip = address, labels = 'istio.io/use-waypoint: gw', spec = '' } = {}): string => `---
apiVersion: v1
kind: Pod
metadata: { name: ${name}, labels: { ${labels} } }
spec: { ${spec}containers: [{ name: app }] }
status: { phase: Running, podIPs: [{ ip: ${ip} }], conditions: [{ type: Ready, status: 'True' }] }
`;

const service = (): string => `---
apiVersion: v1
kind: Service
metadata: { name: echo, labels: { istio.io/use-waypoint: gw } }
spec: { clusterIPs: ['${vip}'], ports: [{ name: http-web, port: 80 }, { name: tcp-mail, port: 25 }] }
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: echo-1, labels: { kubernetes.io/service-name: echo } }
addressType: IPv4
ports: [{ name: http-web, port: ${declaredWeb.port} }, { name: tcp-mail, port: ${declaredMail.port} }]
endpoints: [{ addresses: [${address}], conditions: { ready: true } }]
`;

const policy = (target: string, spec: string): string => `---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: policy }
spec: { targetRefs: [${target}], ${spec} }
`;
const ofGateway = '{ group: gateway.networking.k8s.io, kind: Gateway, name: gw }';
const fromBad = "action: DENY, rules: [{ from: [{ source: { namespaces: ['bad'] } }] }]";

function heard(socket: Socket): Promise<string> {
  return new Promise((resolve) => {
    socket.once('data', (data: Buffer) => resolve(data.toString()));
    socket.once('close', () => resolve('closed'));
    socket.once('error', () => resolve('closed'));
    if (socket.destroyed) resolve('closed');
  });
}

/** What the other side says first, or `closed`, and after how many milliseconds; with `bytes`, the client sends them after a while. */
async function answer(to: Destination, bytes?: string): Promise<{ readonly said: string; readonly ms: number }> {
  const asked = performance.now();
  const socket = await client.dial(to);
  const first = heard(socket);
  if (bytes !== undefined) {
    await Promise.race([first, new Promise((resolve) => void setTimeout(resolve, silent))]);
    socket.write(bytes);
  }
  const said = await first;
  socket.destroy();
  return { said, ms: performance.now() - asked };
}

/** Whether a line comes back that the client sends once it has heard the greeting: rules are asked about a connection once its client speaks. */
async function echoes(to: Destination): Promise<boolean> {
  const socket = await client.dial(to);
  await heard(socket);
  const echoed = heard(socket);
  socket.write('hello\n');
  const said = await echoed;
  socket.destroy();
  return said === 'hello\n';
}

const status = async (to: Destination): Promise<number> => (await get('/', to).catch(() => undefined))?.status ?? 0;

beforeAll(async () => {
  web = await startBackend('web', { address });
  declaredWeb = await startBackend('declared', { address });
  mail = await startTcpBackend('220 mail', undefined, address);
  declaredMail = await startTcpBackend('220 declared', undefined, address);
  gateway = await startLocalGateway(
    {
      'gateway.yaml': waypointGateway.replace('{ name: gw }', '{ name: gw, labels: { istio.io/waypoint-for: all } }'),
      'pod.yaml': pod(),
      'service.yaml': service(),
    },
    [15_088],
  );
  await eventually('the waypoint serves', async () => (await status({ port: web.port })) === 200);
});

afterAll(async () => {
  expect(gateway.rejections()).toEqual([]);
  client.close();
  await gateway.stop();
  for (const backend of [web, declaredWeb, mail, declaredMail]) backend.close();
});

describe('a Pod', () => {
  test('is reached on any of its ports: HTTP as HTTP', async () => {
    expect(JSON.stringify(gateway.status('Gateway default/gw'))).toContain('Successfully accepted Gateway');
    for (const backend of [web, declaredWeb]) {
      const { service: name, headers } = echoOf(await get('/a', { port: backend.port }));
      expect(name).toBe(backend.name);
      expect(headers).toHaveProperty('x-request-id');
      expect(headers).toMatchObject({ 'x-forwarded-for': '10.1.2.3' });
    }
  });

  test('that speaks first is heard after a moment, or at once where a Service says that the port is TCP', async () => {
    const undeclared = await answer({ port: mail.port });
    expect(undeclared.said).toBe('220 mail\n');
    expect(undeclared.ms).toBeGreaterThanOrEqual(detectionTimeoutMs - 1);
    const declared = await Promise.all(Array.from({ length: 5 }, () => answer({ port: declaredMail.port })));
    expect(declared[0]?.said).toBe('220 declared\n');
    expect(Math.min(...declared.map((d) => d.ms))).toBeLessThan(detectionTimeoutMs);
  });

  test('speaks HTTP to a silent client where a Service says that the port does', async () => {
    expect((await answer({ port: declaredWeb.port }, request('/'))).said).toContain('x-request-id');
    const late = await answer({ port: web.port }, request('/'));
    expect(late.said).toContain('200 OK');
    expect(late.said).not.toContain('x-request-id');
  });

  test('is behind routes of the waypoint, and its Service as before', async () => {
    expect(echoOf(await get('/', { address: vip, port: 80 })).service).toBe('declared');
    await gateway.write(
      'route.yaml',
      `---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: route }
spec:
  parentRefs: [{ name: gw }]
  rules: [{ matches: [{ path: { value: /routed } }], backendRefs: [{ name: echo, port: 80 }] }]
`,
    );
    await eventually('the route holds', async () => (await status({ port: web.port })) === 404);
    expect(echoOf(await get('/routed', { port: web.port })).service).toBe('declared');
    await gateway.remove('route.yaml');
    await eventually('the default is back', async () => (await status({ port: web.port })) === 200);
  });
});

describe('an AuthorizationPolicy', () => {
  const bad = { principal: spiffe('bad') };

  test('of the waypoint holds for HTTP and TCP', async () => {
    await gateway.write('policy.yaml', policy(ofGateway, fromBad));
    await eventually('it holds', async () => (await status({ port: web.port, ...bad })) === 403);
    expect(await status({ port: web.port, principal: spiffe('good') })).toBe(200);
    expect(await status({ port: declaredWeb.port, ...bad })).toBe(403);
    for (const { port, name } of [mail, declaredMail]) {
      await eventually(`${name} is closed`, async () => !(await echoes({ port, ...bad })));
      expect(await echoes({ port, principal: spiffe('good') })).toBe(true);
    }
    await gateway.remove('policy.yaml');
    await eventually('it is gone', async () => (await status({ port: web.port, ...bad })) === 200);
    await eventually('for TCP', () => echoes({ port: mail.port, ...bad }));
  });

  test('about requests denies what it cannot see', async () => {
    await gateway.write('policy.yaml', policy(ofGateway, "action: DENY, rules: [{ to: [{ operation: { paths: ['/admin'] } }] }]"));
    await eventually('it holds', async () => (await get('/admin', { port: web.port })).status === 403);
    await eventually('other paths are open', async () => (await status({ port: web.port })) === 200);
    await eventually('TCP is closed', async () => (await answer({ port: web.port }, request('/admin'))).said === 'closed');
    await gateway.remove('policy.yaml');
    await eventually('it is gone', async () => (await answer({ port: web.port }, request('/admin'))).said.includes('200 OK'));
  });

  test('of a Service is not for the addresses of its Pods', async () => {
    await gateway.write('policy.yaml', policy('{ kind: Service, name: echo }', fromBad));
    await eventually('it holds', async () => (await status({ address: vip, port: 80, ...bad })) === 403);
    expect(await status({ port: declaredWeb.port, ...bad })).toBe(200);
    await gateway.remove('policy.yaml');
    await eventually('it is gone', async () => (await status({ address: vip, port: 80, ...bad })) === 200);
  });
});

test('metrics name the workload, and no service', async () => {
  await get('/', { port: web.port });
  await answer({ port: mail.port });
  const lines = async (metric: string): Promise<string[]> => {
    const { body } = await call(gateway.adminPort, '/stats/prometheus');
    return body.split('\n').filter((l) => l.includes(metric) && l.includes('destination_service="unknown"'));
  };
  const ofPod = ['destination_workload="echo"', 'destination_workload_namespace="default"'];
  const known = (line: string): boolean => ofPod.every((label) => line.includes(label));
  await eventually('requests are counted', async () => (await lines('istio_requests_total{')).some(known));
  await eventually('connections are counted', async () => (await lines('istio_tcp_connections_opened_total{')).some(known));
});

describe('addresses', () => {
  /** Nobody is there, but the proxy would try. */
  const isKnown = async (ip: string): Promise<boolean> =>
    (await call(gateway.adminPort, '/config_dump?resource=dynamic_listeners')).body.includes(`"${ip}"`);

  test('that are nobody get 404', async () => {
    expect(await status({ address: '10.99.0.1', port: web.port })).toBe(404);
    expect(await status({ address: '10.99.0.1', port: declaredMail.port })).toBe(404);
  });

  test('of Pods come and go while connections stay open', async () => {
    const http = await client.dial({ port: web.port });
    const tcp = await client.dial({ port: mail.port });
    const ofService = await client.dial({ address: vip, port: 80 });
    expect(await heard(tcp)).toBe('220 mail\n');
    const alive = async (): Promise<readonly boolean[]> => {
      const all = [http, tcp, ofService].map(heard);
      for (const socket of [http, ofService]) socket.write('GET / HTTP/1.1\r\nhost: pod\r\n\r\n');
      tcp.write('still here\n');
      return (await Promise.all(all)).map((said) => said.includes('200 OK') || said.includes('still here'));
    };
    const updates = async (): Promise<readonly number[]> => {
      const { body } = await call(gateway.adminPort, '/stats?filter=listener_manager.listener_(modified|in_place_updated)&format=json');
      const all = (JSON.parse(body) as { stats: { name: string; value: number }[] }).stats;
      return ['listener_modified', 'listener_in_place_updated'].map((name) => all.find((s) => s.name.endsWith(name))?.value ?? 0);
    };
    expect(await alive()).toEqual([true, true, true]);
    const [modified = 0, inPlace = 0] = await updates();
    for (let round = 0; round < 2; round++) {
      // Another Pod of the same Deployment, and one of another.
      await gateway.write(
        'more.yaml',
        pod('echo-7d4b9c8f6d-bbbbb', { ip: '10.99.0.1' }) + pod('other-7d4b9c8f6d-bbbbb', { ip: '10.99.0.2' }),
      );
      await eventually('they are known', () => isKnown('10.99.0.2'));
      expect(await alive()).toEqual([true, true, true]);
      await gateway.remove('more.yaml');
      await eventually('they are gone', async () => !(await isKnown('10.99.0.2')));
      expect(await alive()).toEqual([true, true, true]);
    }
    const [modifiedAfter = 0, inPlaceAfter = 0] = await updates();
    expect(modifiedAfter).toBeGreaterThan(modified);
    expect(modifiedAfter - modified).toBe(inPlaceAfter - inPlace);
  });

  test('of the proxy itself are refused, whatever a Pod or WorkloadEntry claims', async () => {
    const entry = (name: string, at: string): string => `---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: { name: ${name}, labels: { istio.io/use-waypoint: gw } }
spec: { address: ${at} }
`;
    await gateway.write(
      'odd.yaml',
      pod('loopback', { ip: '127.0.0.1' }) +
        pod('node', { ip: '10.99.0.3', spec: 'hostNetwork: true, ' }) +
        // The Pod of a waypoint, and somebody who claims its address.
        pod('gw-7d4b9c8f6d-ccccc', { ip: '10.99.0.4', labels: 'istio.io/use-waypoint: gw, gateway.networking.k8s.io/gateway-name: gw' }) +
        entry('claim', '10.99.0.4') +
        entry('known', '10.99.0.5'),
    );
    await eventually('the others are known', () => isKnown('10.99.0.5'));
    expect(await status({ address: '127.0.0.1', port: gateway.adminPort })).toBe(404);
    expect(await status({ address: '10.99.0.3', port: 10_250 })).toBe(404);
    expect(await status({ address: '10.99.0.4', port: 9091 })).toBe(404);
    await gateway.remove('odd.yaml');
  });

  test('of a Pod that is enrolled no more get 404', async () => {
    await gateway.write('pod.yaml', pod(undefined, { labels: 'app: echo' }));
    await eventually('it is not served', async () => (await status({ port: web.port })) === 404);
    await eventually('nor over TCP', async () => !(await answer({ port: mail.port }, 'hello\n')).said.startsWith('220'));
    await gateway.write('pod.yaml', pod());
    await eventually('it is back', async () => (await status({ port: web.port })) === 200);
  });
});
