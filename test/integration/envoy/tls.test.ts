/** HTTPS listeners: the certificate that the client's server name asks for, several on one listener, and a new one under traffic. */
import { X509Certificate } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type XdsCertificate, createCertificate } from '../../../src/cmd/xds-certificate.ts';
import { type Backend, gatewayOf, routeOf, ruleOf, serviceOf, startBackend } from '../backend.ts';
import { secretOf, shownCertificate } from '../certificates.ts';
import { type LocalGateway, call, echoOf, eventually, problemsDuring, startLocalGateway } from '../local.ts';

let gateway: LocalGateway;
let one: Backend;
let first: XdsCertificate;

beforeAll(async () => {
  one = await startBackend('one');
  const now = Date.now();
  first = await createCertificate(['a.example.com'], now);
  const [wild, extra] = await Promise.all([
    createCertificate(['*.example.com', 'a.example.com'], now, first),
    createCertificate(['b.example.org'], now, first),
  ]);
  const listener = (name: string, host: string, refs: string, port = 443): string =>
    `{ name: ${name}, protocol: HTTPS, port: ${port}, ${host}tls: { certificateRefs: [${refs}] } }`;
  gateway = await startLocalGateway(
    {
      'gateway.yaml': gatewayOf(
        listener('a', 'hostname: a.example.com, ', '{ name: first }'),
        listener('wild', "hostname: '*.example.com', ", '{ name: wild }'),
        listener('any', '', '{ name: first }, { name: extra }', 8443),
      ),
      'first.yaml': secretOf('first', first),
      'secrets.yaml': secretOf('wild', wild) + secretOf('extra', extra),
      'backends.yaml': serviceOf(one),
      'routes.yaml':
        routeOf('all', [], [ruleOf('{ path: { value: / } }')]) +
        routeOf(
          'redirect',
          ['redirect.example.com'],
          ['{ filters: [{ type: RequestRedirect, requestRedirect: { path: { type: ReplaceFullPath, replaceFullPath: /new } } }] }'],
        ) +
        routeOf('session', ['session.example.com'], ['{ sessionPersistence: { sessionName: s }, backendRefs: [{ name: one, port: 80 }] }']),
    },
    [443, 8443],
  );
  await eventually('Envoy serves', async () => {
    const answers = await Promise.all([get('a.example.com'), get('x.example.com'), get('a.example.com', 8443)]);
    return answers.every((a) => a.status === 200);
  });
});

afterAll(async () => {
  expect(gateway.rejections()).toEqual([]);
  await gateway.stop();
  one.close();
});

const get = (host: string, port = 443, path = '/') => call(gateway.port(port), path, { host, tls: { ca: first.ca, servername: host } });

/** The certificate that a client gets for a name; undefined when the handshake fails. */
const certificateFor = (servername: string | undefined, port = 443) =>
  shownCertificate(gateway.port(port), servername).catch(() => undefined);

test.each([
  ['a.example.com', 443, 'a.example.com'],
  ['x.example.com', 443, '*.example.com'],
  ['x.y.example.com', 443, '*.example.com'],
  ['b.example.org', 8443, 'b.example.org'],
  ['a.example.com', 8443, 'a.example.com'],
])('%s on port %d gets the certificate of %s', async (servername, port, subject) => {
  expect((await certificateFor(servername, port))?.subject.CN).toBe(subject);
});

test('a name that no listener has, or none, ends the handshake', async () => {
  expect(await certificateFor('example.org')).toBeUndefined();
  expect(await certificateFor(undefined)).toBeUndefined();
});

// Gateway API: Listener.hostname. A connection that was opened for one listener carries no requests for another.
test.each([
  ['a.example.com', 'a.example.com', 200],
  ['a.example.com', 'x.example.com', 421],
  ['a.example.com', 'a.example.com:443', 200],
  ['a.example.com', 'A.Example.com.', 200],
  ['a.example.com', 'other.org', 404],
  ['x.example.com', 'y.example.com', 200],
  ['x.example.com', 'a.example.com', 421],
  ['x.example.com', 'A.example.com.:443', 421],
  ['x.example.com', 'example.com', 404],
])('a connection for %s with a request for %s: %d', async (servername, host, status) => {
  expect((await call(gateway.port(443), '/', { host, tls: { ca: first.ca, servername } })).status).toBe(status);
});

test('the request arrives in clear text, with its scheme noted', async () => {
  expect(echoOf(await get('x.example.com')).headers).toMatchObject({ 'x-forwarded-proto': 'https' });
});

test('cookies of sessions are sent over TLS only', async () => {
  const cookies = (await get('session.example.com')).headers['set-cookie'] ?? [];
  expect(cookies.map((c) => [c.split('=')[0], /; ?Secure(;|$)/.test(c)])).toEqual([
    ['s-backend', true],
    ['s', true],
  ]);
});

test('a redirect stays on HTTPS, with the port of a listener that is not the default one', async () => {
  expect((await get('redirect.example.com', 443)).headers.location).toBe('https://redirect.example.com/new');
});

test('a new certificate is served without a failed request', async () => {
  const next = await createCertificate(['a.example.com', 'new.example.com'], Date.now(), first);
  const before = (await certificateFor('a.example.com'))?.serialNumber;
  const problems = await problemsDuring(
    () => get('a.example.com'),
    async () => {
      await gateway.write('first.yaml', secretOf('first', next));
      await eventually('the new one is served', async () => (await certificateFor('a.example.com'))?.serialNumber !== before);
    },
  );
  expect(problems).toEqual([]);
  expect((await certificateFor('a.example.com', 443))?.subjectaltname).toContain('new.example.com');
});

test('a name that no certificate of a listener has gets the first one', async () => {
  expect((await certificateFor('unknown.example.net', 8443))?.subject.CN).toBe('a.example.com');
});

test('no handshake fails while a Secret changes 50 times', async () => {
  const pairs = await Promise.all([0, 1].map(() => createCertificate(['a.example.com'], Date.now(), first)));
  const serials = new Set<string | undefined>();
  let failed = 0;
  let done = 0;
  const end = new AbortController();
  const client = async (): Promise<void> => {
    while (!end.signal.aborted) {
      const certificate = await certificateFor('a.example.com');
      if (certificate) serials.add(certificate.serialNumber);
      else failed++;
      done++;
    }
  };
  const clients = [client(), client(), client()];
  try {
    for (let i = 0; i < 50; i++) {
      const before = done;
      await gateway.write('first.yaml', secretOf('first', pairs[i % 2] ?? first));
      await eventually('handshakes go on', () => done > before + 3);
    }
    await eventually('both certificates were seen', () => serials.size >= 2);
  } finally {
    end.abort();
    await Promise.all(clients);
  }
  expect(failed).toBe(0);
}, 60_000);

test('a Secret that turns invalid leaves the last valid pair, and the condition says so', async () => {
  const pair = await createCertificate(['a.example.com'], Date.now(), first);
  await gateway.write('first.yaml', secretOf('first', pair));
  const serial = new X509Certificate(pair.certificate).serialNumber;
  await eventually('the pair is served', async () => (await certificateFor('a.example.com'))?.serialNumber === serial);

  const problems = await problemsDuring(
    () => get('a.example.com'),
    async () => {
      await gateway.write('first.yaml', secretOf('first', { ...pair, privateKey: first.privateKey }));
      await eventually('the condition says so', () => conditionOf('ResolvedRefs').includes('the last valid one is served'));
    },
  );
  expect(problems).toEqual([]);
  expect((await certificateFor('a.example.com'))?.serialNumber).toBe(serial);
  expect(conditionOf('ResolvedRefs')).toBe(
    'False InvalidCertificateRef: invalid TLS secret default/first: tls.key does not belong to the certificate in tls.crt; the last valid one is served',
  );
  expect(conditionOf('Programmed')).toMatch(/^True /);

  await gateway.write('first.yaml', secretOf('first', first));
  await eventually('a valid one is served again', async () => (await certificateFor('a.example.com'))?.serialNumber !== serial);
  expect(conditionOf('ResolvedRefs')).toMatch(/^True /);

  await gateway.remove('first.yaml');
  await eventually(
    'without the Secret the less specific listener answers',
    async () => (await certificateFor('a.example.com'))?.subject.CN === '*.example.com',
  );
  await gateway.write('first.yaml', secretOf('first', first));
  await eventually('it is back', async () => (await certificateFor('a.example.com'))?.subject.CN === 'a.example.com');
});

/** A condition of the listener `a`. */
function conditionOf(type: string): string {
  const status = gateway.status('Gateway default/gw');
  const conditions = status?.form === 'whole' ? (status.listeners?.find((l) => l.name === 'a')?.conditions ?? []) : [];
  const found = conditions.find((c) => c.type === type);
  return `${found?.status} ${found?.reason}: ${found?.message}`;
}
