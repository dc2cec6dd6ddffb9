/**
 * A route that changes all the time, under clients that ask all the time. Each version of it carries its number into every answer, so that an answer
 * shows by which version it was made: it must be of that one whole, never of one before what the client has seen, and never an error.
 */
import { Agent, request } from 'node:http';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Backend, gatewayOf, objectOf, policyOf, routeOf, serviceOf, sliceOf, startBackend } from '../backend.ts';
import { type LocalGateway, eventually, startLocalGateway } from '../local.ts';

const changes = 500;

let gateway: LocalGateway;
let one: Backend;
let two: Backend;
const host = 'changing.example.com';

/** A Service with two ports, behind which different backends are. */
const twoPorts = (): string =>
  objectOf('v1', 'Service', 'ports', 'ports: [{ name: first, port: 80 }, { name: second, port: 81 }]') +
  sliceOf('ports', `{ name: first, port: ${one.port} }, { name: second, port: ${two.port} }`);

const route = (rule: string): string => routeOf('changing', [host], [`{ ${rule} }`]);

const numbered = (version: number, more = ''): string =>
  `filters: [{ type: ResponseHeaderModifier, responseHeaderModifier: { set: [{ name: x-version, value: '${version}' }] } }${more}]`;

const policy = (version: number): string => {
  const set = (name: string): string => `{ set: [{ name: ${name}, value: '${version}' }] }`;
  const limit = version % 2 === 0 ? '' : ', rateLimit: { local: { tokenBucket: { maxTokens: 1000000, fillInterval: 1s } } }';
  return policyOf('changing', `headerModifiers: { request: ${set('x-asked')}, response: ${set('x-version')} }${limit}`);
};

interface Answer {
  readonly status: number;
  readonly version: number;
  readonly service: string;
  readonly path: string;
  readonly asked: string | undefined;
}

/** What a version of each kind looks like, and what is wrong with an answer of it. */
const kinds: Readonly<Record<string, { readonly files: (v: number) => string; readonly fits: (a: Answer) => boolean }>> = {
  backend: {
    files: (v) => route(`${numbered(v)}, backendRefs: [{ name: ${v % 2 === 0 ? 'one' : 'two'}, port: 80 }]`),
    fits: (a) => a.service === (a.version % 2 === 0 ? 'one' : 'two'),
  },
  port: {
    files: (v) => route(`${numbered(v)}, backendRefs: [{ name: ports, port: ${80 + (v % 2)} }]`),
    fits: (a) => a.service === (a.version % 2 === 0 ? 'one' : 'two'),
  },
  weight: {
    files: (v) => {
      const [w1, w2] =
        [
          [9, 0],
          [0, 9],
          [5, 5],
        ][v % 3] ?? [];
      return route(`${numbered(v)}, backendRefs: [{ name: one, port: 80, weight: ${w1} }, { name: two, port: 80, weight: ${w2} }]`);
    },
    fits: (a) => a.version % 3 === 2 || a.service === (a.version % 3 === 0 ? 'one' : 'two'),
  },
  filter: {
    files: (v) => {
      const rewrite = `, { type: URLRewrite, urlRewrite: { path: { type: ReplaceFullPath, replaceFullPath: /v/${v} } } }`;
      const asked = `, { type: RequestHeaderModifier, requestHeaderModifier: { set: [{ name: x-asked, value: '${v}' }] } }`;
      return route(`${numbered(v, rewrite + (v % 2 === 0 ? asked : ''))}, backendRefs: [{ name: one, port: 80 }]`);
    },
    fits: (a) => a.path === `/v/${a.version}` && a.asked === (a.version % 2 === 0 ? String(a.version) : undefined),
  },
  policy: {
    files: (v) => route('backendRefs: [{ name: one, port: 80 }]') + policy(v),
    fits: (a) => a.asked === String(a.version),
  },
  'backend, weight, filter and session at once': {
    files: (v) => {
      const session = v % 3 === 0 ? 'sessionPersistence: { sessionName: s }, ' : '';
      const [first, second] = v % 2 === 0 ? ['one', 'two'] : ['two', 'one'];
      return route(`${session}${numbered(v)}, backendRefs: [{ name: ${first}, port: 80 }, { name: ${second}, port: 80, weight: 0 }]`);
    },
    fits: (a) => a.service === (a.version % 2 === 0 ? 'one' : 'two'),
  },
};

beforeAll(async () => {
  [one, two] = await Promise.all([startBackend('one'), startBackend('two')]);
  gateway = await startLocalGateway(
    {
      'gateway.yaml': gatewayOf('{ name: http, protocol: HTTP, port: 80 }'),
      'backends.yaml': serviceOf(one) + serviceOf(two) + twoPorts(),
    },
    [80],
  );
});

afterAll(async () => {
  expect(gateway.rejections()).toEqual([]);
  await gateway.stop();
  for (const backend of [one, two]) backend.close();
});

function ask(agent: Agent): Promise<Answer> {
  return new Promise((resolve, reject) => {
    request({ host: '127.0.0.1', port: gateway.port(80), path: '/', agent, setHost: false, headers: { host } }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        const status = response.statusCode ?? 0;
        const text = Buffer.concat(chunks).toString();
        const body = (status === 200 ? JSON.parse(text) : {}) as { service?: string; path?: string; headers?: Record<string, string> };
        const { service = text, path = '', headers = {} } = body;
        resolve({ status, version: Number(response.headers['x-version']), service, path, asked: headers['x-asked'] });
      });
    })
      .on('error', reject)
      .end();
  });
}

test.each(Object.keys(kinds))(`${changes} changes: %s`, { timeout: 180_000 }, async (name) => {
  const kind = kinds[name];
  if (!kind) throw new Error('a kind of the table');
  await gateway.write('changing.yaml', kind.files(0));
  await eventually('the first version serves', async () => (await ask(new Agent())).version === 0);

  const wrong: unknown[] = [];
  const seen = new Set<number>();
  let written = 0;
  let answers = 0;
  const end = new AbortController();
  const client = async (): Promise<void> => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    let last = 0;
    while (!end.signal.aborted) {
      const answer = await ask(agent).catch((error: unknown) => String(error));
      answers++;
      const good =
        typeof answer !== 'string' && answer.status === 200 && answer.version >= last && answer.version <= written && kind.fits(answer);
      if (good) seen.add((last = answer.version));
      else wrong.push(answer);
    }
    agent.destroy();
  };
  const clients = Array.from({ length: 3 }, client);
  try {
    for (let version = 1; version <= changes; version++) {
      written = version;
      await gateway.write('changing.yaml', kind.files(version));
      const before = answers;
      await eventually('clients go on', () => answers > before);
    }
    await eventually('the last version serves', () => seen.has(changes));
  } finally {
    end.abort();
    await Promise.all(clients);
  }
  expect(wrong).toEqual([]);
  // Not only the first and the last: the changes reached Envoy one by one.
  expect(seen.size).toBeGreaterThan(changes / 10);
});
