/** A waypoint as ztunnel sees it: connections with a PROXY header, routed by the address that they ask for and the identity of their client. */
import { type Server, type Socket, connect, createServer } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Backend, api, objectOf, startBackend } from '../backend.ts';
import { pickerService, podOf, poolOf, poolRef } from '../inference.ts';
import { type LocalGateway, echoOf, eventually, startLocalGateway } from '../local.ts';
import { type Picker, selectionHeader, startPicker } from '../picker.ts';
import { callWaypoint, heard } from '../waypoint-client.ts';
import { waypointClient, waypointGateway, waypointService as service } from '../waypoint.ts';

let gateway: LocalGateway;
let one: Backend;
let two: Backend;
let greeter: Server;
let picker: Picker;

const identity = (namespace: string): string => `spiffe://cluster.local/ns/${namespace}/sa/client`;
const vip = '10.96.0.1';

const client = waypointClient(() => gateway.port(15_088), vip);
const { dial, get } = client;

const route = (name: string, parent: string, rules: string, more = '', namespace = 'default'): string =>
  objectOf(api.gateway, 'HTTPRoute', name, `parentRefs: [${parent}], rules: [${rules}]${more && `, ${more}`}`, `namespace: ${namespace}`);

const ofEcho = "{ group: '', kind: Service, name: echo, namespace: default, port: 8080 }";

beforeAll(async () => {
  one = await startBackend('one');
  two = await startBackend('two');
  picker = await startPicker();
  greeter = createServer((socket) => socket.on('error', () => {}).end('220 ready\r\n'));
  await new Promise<void>((resolve) => greeter.listen(0, '127.0.0.1', resolve));
  const { port } = greeter.address() as { port: number };
  gateway = await startLocalGateway(
    {
      'gateway.yaml': waypointGateway,
      'services.yaml':
        service(
          'echo',
          [vip, 'fd00::1'],
          '{ name: http, port: 80 }, { name: http-alt, port: 8080 }, { name: smtp, port: 25 }',
          `{ name: http, port: ${one.port} }, { name: http-alt, port: ${one.port} }, { name: smtp, port: ${port} }`,
        ) + service('two', ['10.96.0.2'], '{ name: http, port: 80 }', `{ name: http, port: ${two.port} }`),
      'models.yaml': [
        service('model', ['10.96.0.3'], '{ name: http, port: 80 }', '{ name: http, port: 1 }'),
        route('model', "{ group: '', kind: Service, name: model }", `{ backendRefs: [${poolRef('model')}] }`),
        poolOf('model', { ports: [one.port, two.port], picker: 'picker' }),
        podOf('model', 'model', '127.0.0.1'),
        pickerService('picker', picker, 'kubernetes.io/h2c'),
      ].join(''),
      'routes.yaml': [
        route('producer', ofEcho, '{ matches: [{ path: { value: /two } }], backendRefs: [{ name: two, port: 80 }] }'),
        route('named', ofEcho, '{ backendRefs: [{ name: two, port: 80 }] }', 'hostnames: [two.example.com]'),
        route(
          'consumer',
          ofEcho,
          '{ matches: [{ path: { value: /mine } }], filters: [{ type: RequestRedirect, requestRedirect: { statusCode: 301, path: { type: ReplaceFullPath, replaceFullPath: /yours } } }] }',
          '',
          'client',
        ),
      ].join(''),
    },
    [15_088],
  );
  await eventually('the waypoint serves', async () => (await get('/').catch(() => undefined))?.status === 200);
});

afterAll(async () => {
  expect(gateway.rejections()).toEqual([]);
  client.close();
  await gateway.stop();
  one.close();
  two.close();
  greeter.close();
  await picker.close();
});

describe('without routes', () => {
  test('a Service is reached by its address, whatever the host says', async () => {
    expect(echoOf(await get('/a', { host: 'two.example.com' }))).toMatchObject({ service: 'one', path: '/a', host: 'two.example.com' });
    expect(echoOf(await get('/a', { address: '10.96.0.2', host: 'echo' })).service).toBe('two');
  });

  test('under each of its addresses', async () => {
    expect(echoOf(await get('/', { address: 'fd00::1' })).service).toBe('one');
  });

  test('the backend learns the address of the client, and nothing of how we find routes', async () => {
    const { headers } = echoOf(await get('/', { headers: { 'x-kgateway-scope': '10.96.0.2|80' } }));
    expect(headers['x-forwarded-for']).toBe('10.1.2.3');
    expect(headers).not.toHaveProperty('x-kgateway-scope');
  });

  test('what an ingress before us said about the client stays', async () => {
    const { headers } = echoOf(await get('/', { headers: { 'x-forwarded-proto': 'https', 'x-forwarded-for': '203.0.113.9' } }));
    expect(headers).toMatchObject({ 'x-forwarded-proto': 'https', 'x-forwarded-for': '203.0.113.9,10.1.2.3' });
  });
});

test('the backend learns the identity of the client where the Gateway asks for that, and nothing that the client says about it', async () => {
  const infrastructure = "infrastructure: { annotations: { ambient.istio.io/xfcc-include-client-identity: 'true' } }";
  const headers = { 'x-forwarded-client-cert': 'URI=spiffe://cluster.local/ns/forged/sa/forged' };
  const told = async (principal?: string): Promise<unknown> =>
    echoOf(await get('/', { headers, ...(principal !== undefined && { principal }) })).headers['x-forwarded-client-cert'];
  expect(await told(identity('web'))).toBeUndefined();
  await gateway.write('gateway.yaml', waypointGateway.replace('listeners:', `${infrastructure}\n  listeners:`));
  await eventually(
    'it is told',
    async () => (await told(identity('web'))) === `By=spiffe://cluster.local/ns/default/sa/gw;URI=${identity('web')}`,
  );
  expect(await told()).toBe('By=spiffe://cluster.local/ns/default/sa/gw;URI=');
  await gateway.write('gateway.yaml', waypointGateway);
  await eventually('it is not told any more', async () => (await told(identity('web'))) === undefined);
});

describe('connections', () => {
  test('for an address or port that is not served get 404', async () => {
    expect((await get('/', { address: '10.96.0.77' })).status).toBe(404);
    expect((await get('/', { port: 81 })).status).toBe(404);
  });

  test('without the header of ztunnel are closed', async () => {
    const closed = await new Promise((resolve) => {
      const socket = connect(gateway.port(15_088), '127.0.0.1', () => socket.write('GET / HTTP/1.1\r\nhost: echo\r\n\r\n'));
      socket
        .on('data', () => resolve('answered'))
        .on('close', () => resolve('closed'))
        .on('error', () => {});
    });
    expect(closed).toBe('closed');
  });

  test('of a client over IPv4 to an IPv6 address are closed: the header of ztunnel has no addresses then', async () => {
    await expect(callWaypoint(gateway.port(15_088), '/', { address: 'fd00::1', source: '10.1.2.3' })).rejects.toThrow();
  });

  test('to a protocol in which the server speaks first are not held up', async () => {
    const socket = await dial({ port: 25 });
    const greeting = await new Promise<string>((resolve) => socket.once('data', (data: Buffer) => resolve(data.toString())));
    expect(greeting).toBe('220 ready\r\n');
  });
});

describe('routes of a Service', () => {
  test('hold on their port alone, and then nothing else does', async () => {
    expect(echoOf(await get('/two', { port: 8080 })).service).toBe('two');
    expect((await get('/else', { port: 8080 })).status).toBe(404);
    expect(echoOf(await get('/two')).service).toBe('one');
  });

  test('lead to an InferencePool, where its picker chooses the endpoint', async () => {
    const ask = async (port: number) => get('/', { address: '10.96.0.3', headers: { [selectionHeader]: `127.0.0.1:${port}` } });
    await eventually('the picker is asked', async () => (await ask(one.port)).status === 200);
    for (const { name, port } of [one, two, one]) expect(echoOf(await ask(port)).service).toBe(name);
    expect(gateway.status('InferencePool default/model')).toMatchObject({ entries: [{ ref: { kind: 'Gateway', name: 'gw' } }] });
  });

  test('that name hosts hold for those, before those that do not', async () => {
    expect(echoOf(await get('/else', { port: 8080, host: 'two.example.com:8080' })).service).toBe('two');
  });

  test('of another namespace hold for clients of that namespace, instead of all others', async () => {
    const principal = identity('client');
    expect(await get('/mine', { port: 8080, principal })).toMatchObject({ status: 301, headers: { location: 'http://echo:8080/yours' } });
    expect((await get('/two', { port: 8080, principal })).status).toBe(404);
    expect((await get('/else', { port: 8080, principal, host: 'two.example.com' })).status).toBe(404);
    for (const other of [identity('clients'), identity('default'), undefined]) {
      const as = { port: 8080, ...(other !== undefined && { principal: other }) };
      expect((await get('/mine', as)).status).toBe(404);
      expect(echoOf(await get('/two', as)).service).toBe('two');
    }
  });

  test('keep a session with the backend that it began with', async () => {
    const rule = (path: string, session: string): string =>
      `{ matches: [{ path: { value: ${path} } }], sessionPersistence: { ${session} }, backendRefs: [{ name: echo, port: 80 }, { name: two, port: 80 }] }`;
    const rules = `${rule('/cookie', 'sessionName: s')}, ${rule('/header', 'type: Header, sessionName: x-s')}`;
    await gateway.write('session.yaml', route('session', "{ group: '', kind: Service, name: two }", rules));
    const at = { address: '10.96.0.2' };
    await eventually('the route serves', async () => (await get('/header', at)).headers['x-s'] !== undefined);
    for (const path of ['/cookie', '/header']) {
      const seen = new Set<string>();
      for (let session = 0; session < 12; session++) {
        const first = await get(path, at);
        const cookie = (first.headers['set-cookie'] ?? []).map((c) => c.split(';')[0]).join('; ');
        const headers = { ...(cookie && { cookie }), ...(first.headers['x-s'] !== undefined && { 'x-s': String(first.headers['x-s']) }) };
        for (let i = 0; i < 6; i++) expect(echoOf(await get(path, { ...at, headers })).service).toBe(echoOf(first).service);
        seen.add(echoOf(first).service);
      }
      expect(seen).toEqual(new Set(['one', 'two']));
    }
    await gateway.remove('session.yaml');
    await eventually('the default is back', async () => (await get('/header', at)).headers['x-s'] === undefined);
  });

  test('and TCP Services come and go while connections stay open', async () => {
    const held = await dial({ address: '10.96.0.2' });
    const answers = heldAnswers(held);
    expect(await answers.next()).toContain('"service":"two"');
    await gateway.write(
      'more.yaml',
      [
        route('later', "{ group: '', kind: Service, name: two }", '{ backendRefs: [{ name: echo, port: 80 }] }'),
        service('tcp', ['10.96.0.3'], '{ name: tcp, port: 5000 }', `{ name: tcp, port: ${two.port} }`),
      ].join(''),
    );
    await eventually('the route serves', async () => echoOf(await get('/', { address: '10.96.0.2' })).service === 'one');
    await eventually('the TCP Service serves', async () => echoOf(await get('/', { address: '10.96.0.3', port: 5000 })).service === 'two');
    expect(await answers.next()).toContain('"service":"one"');
    await gateway.remove('more.yaml');
    await eventually('the default is back', async () => echoOf(await get('/', { address: '10.96.0.2' })).service === 'two');
    expect(await answers.next()).toContain('"service":"two"');
  });
});

describe('an AuthorizationPolicy', () => {
  const policy = (name: string, spec: string): string => objectOf(api.security, 'AuthorizationPolicy', name, spec);

  test('of a Service decides by the identity of the client, over HTTP and TCP, and for no other Service', async () => {
    const from = "rules: [{ from: [{ source: { namespaces: ['bad'] } }] }]";
    await gateway.write('policy.yaml', policy('deny', `targetRefs: [{ kind: Service, name: echo }], action: DENY, ${from}`));
    await eventually('the policy holds', async () => (await get('/', { principal: identity('bad') })).status === 403);
    expect((await get('/two', { port: 8080, principal: identity('bad') })).status).toBe(403);
    expect((await get('/', { principal: identity('good') })).status).toBe(200);
    expect((await get('/', { address: '10.96.0.2', principal: identity('bad') })).status).toBe(200);
    // The listener follows the scopes, and a greeting may be faster than the client's end.
    await eventually('the TCP port is closed', async () => (await heard(await dial({ port: 25, principal: identity('bad') }))) === '');
    await eventually('it is open to others', async () => (await heard(await dial({ port: 25, principal: identity('good') }))) !== '');
    await gateway.remove('policy.yaml');
    await eventually('the policy is gone', async () => (await get('/', { principal: identity('bad') })).status === 200);
  });

  test('of the waypoint that cannot be translated lets nobody in', async () => {
    const broken = "rules: [{ from: [{ source: { ipBlocks: ['not an address'] } }] }]";
    await gateway.write(
      'policy.yaml',
      policy('broken', `targetRefs: [{ group: gateway.networking.k8s.io, kind: Gateway, name: gw }], action: ALLOW, ${broken}`),
    );
    await eventually('the policy holds', async () => (await get('/', { principal: identity('good') })).status === 403);
    expect((await get('/', { address: '10.96.0.2' })).status).toBe(403);
    // The listener follows the scopes, and a greeting may be faster than the client's end.
    await eventually('the TCP port is closed', async () => (await heard(await dial({ port: 25, principal: identity('good') }))) === '');
    await gateway.remove('policy.yaml');
    await eventually('the policy is gone', async () => (await get('/')).status === 200);
  });
});

/** One request after the other on an open connection. */
function heldAnswers(socket: Socket): { next(): Promise<string> } {
  return {
    next: () =>
      new Promise((resolve, reject) => {
        socket.once('close', () => reject(new Error('the connection was closed')));
        socket.once('data', (data: Buffer) => resolve(data.toString()));
        socket.write('GET / HTTP/1.1\r\nhost: two\r\n\r\n');
      }),
  };
}
