/** sessionPersistence of routes: requests of one session reach one Pod, also across backends by weight, as long as it is there. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Backend, gatewayOf, objectOf, routeOf, sliceOf, startBackend } from '../backend.ts';
import { type Answer, type LocalGateway, call, echoOf, eventually, startLocalGateway } from '../local.ts';

let gateway: LocalGateway;
let pods: readonly Backend[];

/** A Service with these Pods, which are ports of this machine: a slice for each. */
function serviceWith(name: string, members: readonly Backend[]): string {
  const slices = members.map((pod) => sliceOf(name, `{ name: http, port: ${pod.port} }`, { name: `${name}-${pod.name}` }));
  return [objectOf('v1', 'Service', name, 'ports: [{ name: http, port: 80 }]'), ...slices].join('');
}

const hosts = ['exact.example.com', 'any.wild.example.com'] as const;
const rule = (path: string, session: string, ...backends: readonly string[]): string =>
  `{ matches: [{ path: { value: ${path} } }], sessionPersistence: ${session}, backendRefs: [${backends.join(', ')}] }`;
const ref = (name: string, weight = 1): string => `{ name: ${name}, port: 80, weight: ${weight} }`;
const routes = (weights: readonly [number, number] = [1, 1]): string =>
  routeOf(
    'sessions',
    ['exact.example.com', '*.wild.example.com'],
    [
      rule('/cookie', '{ sessionName: sid }', ref('a')),
      rule('/named-by-us', '{}', ref('a')),
      rule('/permanent', '{ sessionName: per, absoluteTimeout: 1h, cookieConfig: { lifetimeType: Permanent } }', ref('a')),
      rule('/short', '{ sessionName: short, absoluteTimeout: 2s, cookieConfig: { lifetimeType: Permanent } }', ref('a'), ref('b')),
      rule('/header', '{ type: Header, sessionName: X-Session }', ref('a')),
      rule('/split', '{ sessionName: split }', ref('a', weights[0]), ref('b', weights[1])),
      rule('/split-header', '{ type: Header, sessionName: x-split }', ref('a', weights[0]), ref('b', weights[1])),
      rule('/refused', '{ absoluteTimeout: 1h }', ref('a')),
      rule('/none', '{}'),
    ],
  );

beforeAll(async () => {
  pods = await Promise.all(['a1', 'a2', 'a3', 'b1', 'b2'].map((name) => startBackend(name)));
  gateway = await startLocalGateway(
    {
      'gateway.yaml': gatewayOf('{ name: http, protocol: HTTP, port: 80 }'),
      'a.yaml': serviceWith('a', pods.slice(0, 3)),
      'b.yaml': serviceWith('b', pods.slice(3)),
      'routes.yaml': routes(),
    },
    [80],
  );
  await eventually('Envoy serves', async () => (await call(gateway.port(80), '/cookie', { host: hosts[0] })).status === 200);
});

afterAll(async () => {
  expect(gateway.rejections()).toEqual([]);
  await gateway.stop();
  for (const pod of pods) pod.close();
});

/** A client that keeps cookies and the headers that it is told to repeat, as long as nobody takes them away. */
class Client {
  readonly cookies = new Map<string, string>();
  readonly headers = new Map<string, string>();
  readonly #host: string;
  readonly #repeats: readonly string[];

  constructor(host: string, ...repeats: readonly string[]) {
    this.#host = host;
    this.#repeats = repeats;
  }

  async ask(path: string): Promise<Answer> {
    const cookie = [...this.cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    const headers = { ...Object.fromEntries(this.headers), ...(cookie && { cookie }) };
    const answer = await call(gateway.port(80), path, { host: this.#host, headers });
    for (const set of answer.headers['set-cookie'] ?? []) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(set) ?? [];
      this.cookies.set(name, value.replaceAll('"', ''));
    }
    for (const name of this.#repeats) {
      const value = answer.headers[name];
      if (typeof value === 'string') this.headers.set(name, value);
    }
    return answer;
  }

  /** The Pods that answer so many requests. */
  async pods(path: string, count = 12): Promise<readonly string[]> {
    const seen: string[] = [];
    for (let i = 0; i < count; i++) seen.push(echoOf(await this.ask(path)).service);
    return [...new Set(seen)];
  }
}

describe.each(hosts)('on %s', (host) => {
  test.each([
    ['/cookie', []],
    ['/named-by-us', []],
    ['/permanent', []],
    ['/header', ['x-session']],
    ['/split', []],
    ['/split-header', ['x-split']],
  ] as const)('%s: each session stays on its Pod, and sessions are everywhere', async (path, repeats) => {
    const first = new Set<string>();
    for (let session = 0; session < 16; session++) {
      const seen = await new Client(host, ...repeats).pods(path, 8);
      expect(seen).toHaveLength(1);
      for (const pod of seen) first.add(pod);
    }
    expect(first.size).toBeGreaterThan(1);
    if (path.startsWith('/split')) expect(new Set([...first].map((name) => name[0]))).toEqual(new Set(['a', 'b']));
  });

  test('attributes of cookies', async () => {
    const cookie = async (path: string): Promise<string> => (await new Client(host).ask(path)).headers['set-cookie']?.join(' & ') ?? '';
    expect(await cookie('/cookie/below')).toMatch(
      /^sid-backend=[0-9a-f]{8}; Path=\/cookie; HttpOnly; SameSite=Strict & sid="[^;]+"; Path=\/cookie;/,
    );
    expect(await cookie('/cookie')).not.toContain('Max-Age');
    expect(await cookie('/cookie')).not.toContain('Secure');
    expect(await cookie('/permanent')).toMatch(/ per="[^;]+"; Max-Age=3600; Path=\/permanent; SameSite=Strict; HttpOnly/);
    expect(await cookie('/named-by-us')).toMatch(/ session-[0-9a-f]{12}=/);
    expect(await cookie('/none').catch(() => '')).toBe('');
  });

  test('the backend does not see the header of a session', async () => {
    const client = new Client(host, 'x-split');
    await client.ask('/split-header');
    expect(echoOf(await client.ask('/split-header')).headers['x-split']).toBeUndefined();
  });

  test('a token that says nothing we know is as none', async () => {
    for (const value of ['', 'garbage', '8.8.8.8:80', Buffer.from('127.0.0.1:1').toString('base64')]) {
      const client = new Client(host);
      client.cookies.set('split', value).set('split-backend', 'ffffffff');
      expect((await client.ask('/split')).status).toBe(200);
      expect(await client.pods('/split')).toHaveLength(1);
    }
  });
});

test('a session over the lifetime of its cookie begins anew', async () => {
  const ends = Date.now() + 2_000;
  const client = new Client(hosts[0]);
  await client.ask('/short');
  const first = client.cookies.get('short');
  // The client sends the cookie for longer than it was told to: the proxy sees that it is over.
  await eventually('another cookie comes', async () => {
    await client.ask('/short');
    return client.cookies.get('short') !== first;
  });
  expect(Date.now()).toBeGreaterThanOrEqual(ends - 1_000);
});

test.each([
  ['/split', []],
  ['/split-header', ['x-split']],
] as const)('%s: sessions outlast a change of weights, down to zero; new ones follow it', async (path, repeats) => {
  const clients = Array.from({ length: 12 }, () => new Client(hosts[0], ...repeats));
  const before: (readonly string[])[] = [];
  for (const client of clients) before.push(await client.pods(path, 2));
  await gateway.write('routes.yaml', routes([0, 1]));
  await eventually('new sessions go by the new weights', async () => {
    const fresh = await Promise.all(Array.from({ length: 8 }, () => new Client(hosts[0]).pods(path, 1)));
    return fresh.flat().every((name) => name.startsWith('b'));
  });
  for (const [i, client] of clients.entries()) expect(await client.pods(path, 4)).toEqual(before[i]);
  await gateway.write('routes.yaml', routes());
  await eventually('both backends get sessions again', async () => {
    const fresh = await Promise.all(Array.from({ length: 8 }, () => new Client(hosts[0]).pods(path, 1)));
    return fresh.flat().some((name) => name.startsWith('a'));
  });
});

test.each([
  ['/split', []],
  ['/split-header', ['x-split']],
] as const)('%s: when the Pod is gone another one of its backend takes the session over, and keeps it', async (path, repeats) => {
  const client = new Client(hosts[0], ...repeats);
  let pod = '';
  await eventually('a session with backend a', async () => {
    client.cookies.clear();
    client.headers.clear();
    pod = echoOf(await client.ask(path)).service;
    return pod.startsWith('a');
  });
  await gateway.write(
    'a.yaml',
    serviceWith(
      'a',
      pods.slice(0, 3).filter((p) => p.name !== pod),
    ),
  );
  await eventually('another Pod answers', async () => echoOf(await client.ask(path)).service !== pod);
  const [taken = '', ...others] = await client.pods(path);
  expect(others).toEqual([]);
  expect(taken).toMatch(/^a/);
  await gateway.write('a.yaml', serviceWith('a', pods.slice(0, 3)));
  expect(await client.pods(path)).toEqual([taken]);
});

test('a timeout that cannot be kept is said, and its rule does not serve', async () => {
  expect((await call(gateway.port(80), '/refused', { host: hosts[0] })).status).toBe(500);
  const status = JSON.stringify(gateway.status('HTTPRoute default/sessions'));
  expect(status).toContain('spec.rules[7].sessionPersistence.absoluteTimeout: is not supported for a cookie of lifetimeType Session');
});
