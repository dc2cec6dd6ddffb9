/** What happens to a running system: files that change, files that are wrong, a large file, an Envoy that dies. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Backend, gatewayOf, routeOf, ruleOf, serviceOf, startBackend } from '../backend.ts';
import { type LocalGateway, call, echoOf, eventually, problemsDuring, startLocalGateway } from '../local.ts';

let gateway: LocalGateway;
let one: Backend;
let two: Backend;

const steady = 'steady.example.com';
const simple = (name: string, backend = 'one'): string =>
  routeOf(name, [`${name}.example.com`], [ruleOf('{ path: { value: / } }', '', backend)]);

beforeAll(async () => {
  [one, two] = await Promise.all([startBackend('one'), startBackend('two')]);
  gateway = await startLocalGateway(
    {
      'gateway.yaml': gatewayOf('{ name: http, protocol: HTTP, port: 80 }'),
      'backends.yaml': serviceOf(one) + serviceOf(two),
      'steady.yaml': simple('steady'),
    },
    [80],
  );
  await eventually('Envoy serves', async () => (await statusOf(steady)) === 200);
});

afterAll(async () => {
  await gateway.stop();
  for (const backend of [one, two]) backend.close();
});

const get = (host: string, path = '/') => call(gateway.port(80), path, { host });
const statusOf = async (host: string, path = '/') => (await get(host, path)).status;

/** Runs `change` with requests to the steady host all the time: none of them may fail. */
async function undisturbed(change: () => Promise<void>): Promise<void> {
  expect(await problemsDuring(() => get(steady), change)).toEqual([]);
}

test('a route comes, changes, and goes, live', async () => {
  await undisturbed(async () => {
    expect(await statusOf('live.example.com')).toBe(404);
    await gateway.write('live.yaml', simple('live'));
    await eventually('it is served', async () => echoOf(await get('live.example.com')).service === 'one');
    await gateway.write('live.yaml', simple('live', 'two'));
    await eventually('the change is served', async () => echoOf(await get('live.example.com')).service === 'two');
    await gateway.remove('live.yaml');
    await eventually('it is gone', async () => (await statusOf('live.example.com')) === 404);
  });
});

test('a backend moves: requests follow without one that fails', async () => {
  const moved = await startBackend('moved');
  await gateway.write('moving.yaml', simple('moving', 'mover') + serviceOf({ name: 'mover', port: one.port }));
  await eventually('it is served', async () => echoOf(await get('moving.example.com')).service === 'one');
  await gateway.write('moving.yaml', simple('moving', 'mover') + serviceOf({ name: 'mover', port: moved.port }));
  await eventually('the new place is reached', async () => echoOf(await get('moving.example.com')).service === 'moved');
  await gateway.remove('moving.yaml');
  moved.close();
});

test('a document that is no YAML: the others of its file and the last good version of it serve on', async () => {
  await gateway.write('bad.yaml', simple('before') + simple('after'));
  await eventually(
    'both serve',
    async () => (await statusOf('before.example.com')) === 200 && (await statusOf('after.example.com')) === 200,
  );
  await undisturbed(async () => {
    await gateway.write('bad.yaml', `${simple('before', 'two')}---\nkind: [\n${simple('after', 'two')}`);
    expect(gateway.problems().join('\n')).toMatch(/bad\.yaml:\d+/);
    await eventually('the good documents are served', async () => {
      const [before, after] = await Promise.all([get('before.example.com'), get('after.example.com')]);
      return echoOf(before).service === 'two' && echoOf(after).service === 'two';
    });
  });
  await gateway.remove('bad.yaml');
  await eventually('nothing is wrong any more', () => gateway.problems().length === 0);
});

test('an unknown field: the object stays as it was, and the message names the field', async () => {
  await gateway.write('field.yaml', simple('field'));
  await eventually('it serves', async () => (await statusOf('field.example.com')) === 200);
  await undisturbed(async () => {
    await gateway.write('field.yaml', simple('field', 'two').replace('backendRefs', 'backendRef'));
    expect(gateway.problems().join('\n')).toContain('backendRef');
    expect(echoOf(await get('field.example.com')).service).toBe('one');
  });
  await gateway.remove('field.yaml');
});

test('a regular expression that RE2 refuses: its rule is dropped, other rules of the route serve', async () => {
  await undisturbed(async () => {
    const bad = ruleOf("{ path: { type: RegularExpression, value: '/(?<!x)a' } }");
    await gateway.write('regex.yaml', routeOf('regex', ['regex.example.com'], [bad, ruleOf('{ path: { value: /good } }')]));
    await eventually('the good rule serves', async () => (await statusOf('regex.example.com', '/good')) === 200);
    expect(await statusOf('regex.example.com', '/a')).toBe(404);
    expect(JSON.stringify(gateway.status('HTTPRoute default/regex'))).toContain('PartiallyInvalid');
  });
  await gateway.remove('regex.yaml');
});

test('a regular expression as large as users write them is accepted by Envoy too', async () => {
  const words = Array.from({ length: 40 }, (_, i) => `word${i}[a-z0-9]{1,20}`).join('|');
  await gateway.write(
    'large.yaml',
    routeOf('large', ['large.example.com'], [ruleOf(`{ path: { type: RegularExpression, value: '/(${words})' } }`)]),
  );
  await eventually('it serves', async () => (await statusOf('large.example.com', '/word1abc')) === 200);
  await gateway.remove('large.yaml');
});

test('a file of 20,000 lines of routes', async () => {
  const count = 1600;
  const text = Array.from({ length: count }, (_, i) => expanded(simple(`many-${i}`))).join('');
  expect(text.split('\n').length).toBeGreaterThan(20_000);
  await undisturbed(async () => {
    await gateway.write('many.yaml', text);
    await eventually('the last one serves', async () => (await statusOf(`many-${count - 1}.example.com`)) === 200, 60_000);
    expect(await statusOf('many-0.example.com')).toBe(200);
  });
  await gateway.remove('many.yaml');
  await eventually('they are gone', async () => (await statusOf(`many-${count - 1}.example.com`)) === 404, 60_000);
});

test('Envoy is killed, comes back and serves all', async () => {
  const pid = gateway.pid();
  expect(pid).toBeDefined();
  if (pid !== undefined) process.kill(pid, 'SIGKILL');
  await eventually('another one runs', () => gateway.pid() !== undefined && gateway.pid() !== pid);
  await eventually('it serves', async () => (await statusOf(steady)) === 200);
  expect(gateway.rejections()).toEqual([]);
});

/** With a comment for every field that the flow style saves a line of. */
function expanded(route: string): string {
  return `${route}${'# a line\n'.repeat(4)}`;
}
