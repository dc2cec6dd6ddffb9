/**
 * What Envoy refuses: a listener, a route, a cluster, a certificate. Each is said on the object that it comes from, its last good version serves on,
 * and nothing else is held up. The route is a user's; the others are spoiled on their way, as what a user can write is checked before.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type XdsCertificate, createCertificate } from '../../../src/cmd/xds-certificate.ts';
import { decode, encode } from '../../../src/xds/proto/index.ts';
import { TypeUrl, type XdsResource } from '../../../src/xds/resource.ts';
import { type Backend, gatewayOf, policyOf, routeOf, ruleOf, serviceOf, startBackend } from '../backend.ts';
import { secretOf, shownCertificate } from '../certificates.ts';
import { type LocalGateway, call, echoOf, eventually, problemsDuring, startLocalGateway } from '../local.ts';

let gateway: LocalGateway;
let one: Backend;
let two: Backend;
let first: XdsCertificate;
let second: XdsCertificate;

const unknown = { name: 'none', typed_config: { type_url: 'type.googleapis.com/none.Such', value: new Uint8Array() } };

let clusterIsBad = false;
let certificateIsBad = false;

/** Envoy refuses it, and what it refuses is in this resource alone. */
function spoil({ type, name, bytes }: XdsResource): Uint8Array | undefined {
  const has = (text: string): boolean => Buffer.from(bytes).includes(text);
  if (type === TypeUrl.cluster && name.includes('||two.') && clusterIsBad) {
    return encode('envoy.config.cluster.v3.Cluster', { ...decode('envoy.config.cluster.v3.Cluster', bytes), transport_socket: unknown });
  }
  if (type === TypeUrl.secret && name.endsWith('/first') && certificateIsBad) {
    return encode('envoy.extensions.transport_sockets.tls.v3.Secret', {
      ...decode('envoy.extensions.transport_sockets.tls.v3.Secret', bytes),
      tls_certificate: { certificate_chain: { inline_string: 'no PEM' }, private_key: { inline_string: 'no PEM' } },
    });
  }
  if (type === TypeUrl.listener && has('spoilt.example.com')) {
    return encode('envoy.config.listener.v3.Listener', {
      ...decode('envoy.config.listener.v3.Listener', bytes),
      listener_filters: [unknown],
    });
  }
  return undefined;
}

const https = (name: string, hostname: string, secret: string, port = 443): string =>
  `{ name: ${name}, protocol: HTTPS, port: ${port}, hostname: ${hostname}, tls: { certificateRefs: [{ name: ${secret} }] } }`;
const listeners = (...more: readonly string[]): Promise<void> => gateway.write('gateway.yaml', gatewayText(...more));
const gatewayText = (...more: readonly string[]): string =>
  gatewayOf(
    '{ name: http, protocol: HTTP, port: 80 }',
    https('a', 'a.example.com', 'first'),
    https('b', 'b.example.com', 'second'),
    ...more,
  );
const at = '{ path: { value: / } }';
const policy = (header: string): string => policyOf('a', `headerModifiers: { response: { set: [{ name: x-a, value: '${header}' }] } }`);

beforeAll(async () => {
  [one, two] = await Promise.all([startBackend('one'), startBackend('two')]);
  first = await createCertificate(['a.example.com'], Date.now());
  second = await createCertificate(['b.example.com'], Date.now(), first);
  gateway = await startLocalGateway(
    {
      'gateway.yaml': gatewayText(),
      'first.yaml': secretOf('first', first),
      'second.yaml': secretOf('second', second),
      'one.yaml': serviceOf(one),
      'two.yaml': serviceOf(two),
      'routes.yaml': routeOf('a', ['a.example.com'], [ruleOf(at)]) + routeOf('b', ['b.example.com'], [ruleOf(at, '', 'two')]),
    },
    [80, 443, 8443],
    { spoil },
  );
  await eventually('Envoy serves', async () => (await statusOf('a.example.com')) === 200 && (await secure('b.example.com')) === 200);
});

afterAll(async () => {
  await gateway.stop();
  for (const backend of [one, two]) backend.close();
});

const get = (host: string) => call(gateway.port(80), '/', { host });
const statusOf = async (host: string): Promise<number> => (await get(host)).status;
const secure = async (host: string, port = 443): Promise<number> =>
  (await call(gateway.port(port), '/', { host, tls: { ca: first.ca, servername: host } })).status;
const status = (object: string): string => JSON.stringify(gateway.status(object));
const said = (object: string, message: RegExp): Promise<void> => eventually(`${object} says so`, () => message.test(status(object)));

/** A route that comes, serves and goes shows that nothing is held up. */
async function othersGoOn(): Promise<void> {
  await gateway.write('new.yaml', routeOf('new', ['new.example.com'], [ruleOf(at)]) + serviceOf({ ...one, name: 'fresh' }));
  await eventually('a new route serves', async () => (await statusOf('new.example.com')) === 200);
  await gateway.write('new.yaml', routeOf('new', ['new.example.com'], [ruleOf(at, '', 'fresh')]) + serviceOf({ ...one, name: 'fresh' }));
  await eventually('by a new cluster', async () => echoOf(await get('new.example.com')).service === 'one');
  await gateway.remove('new.yaml');
  await eventually('it is gone', async () => (await statusOf('new.example.com')) === 404);
}

const bothServe = async () => {
  const [a, b] = await Promise.all([get('a.example.com'), get('b.example.com')]);
  return a.status === 200 ? b : a;
};

test('a route', async () => {
  await gateway.write('policy.yaml', policy('one'));
  await eventually('its policy holds', async () => (await get('a.example.com')).headers['x-a'] === 'one');
  const problems = await problemsDuring(bothServe, async () => {
    await gateway.write('policy.yaml', policy('%START_TIME(%n)%'));
    await said('HTTPRoute default/a', /Rejected.*refused the route.*newline/);
    expect((await get('a.example.com')).headers['x-a']).toBe('one');
    expect(status('HTTPRoute default/b')).not.toContain('Rejected');
    await othersGoOn();
    await gateway.write('policy.yaml', policy('two'));
    await eventually('the repaired one serves', async () => (await get('a.example.com')).headers['x-a'] === 'two');
  });
  expect(problems).toEqual([]);
  await eventually('nothing is said any more', () => !status('HTTPRoute default/a').includes('Rejected'));
});

test('a cluster: said on the routes that lead there', async () => {
  const problems = await problemsDuring(bothServe, async () => {
    clusterIsBad = true;
    await gateway.write('two.yaml', serviceOf(two, ', appProtocol: http2'));
    await said('HTTPRoute default/b', /Rejected.*Service default\/two.*none\.Such/);
    expect(status('HTTPRoute default/a')).not.toContain('Rejected');
    expect(echoOf(await get('b.example.com')).service).toBe('two');
    await othersGoOn();
    clusterIsBad = false;
    await gateway.write('two.yaml', serviceOf(two));
    await eventually('nothing is said any more', () => !status('HTTPRoute default/b').includes('Rejected'));
  });
  expect(problems).toEqual([]);
});

test('a listener: its port serves as before, other ports come and go', async () => {
  const problems = await problemsDuring(bothServe, async () => {
    await listeners(https('c', 'spoilt.example.com', 'second'));
    await said('Gateway default/gw', /refused the listener.*none\.Such/);
    expect(await Promise.all([secure('a.example.com'), secure('b.example.com')])).toEqual([200, 200]);
    await othersGoOn();
    await listeners(https('c', 'spoilt.example.com', 'second'), https('d', 'a.example.com', 'first', 8443));
    await eventually('another port serves', async () => (await secure('a.example.com', 8443)) === 200);
    await listeners(https('c', 'b.a.example.com', 'second'));
    await eventually('nothing is said any more', () => !status('Gateway default/gw').includes('refused'));
    await listeners();
  });
  expect(problems).toEqual([]);
});

const certificateFor = (servername: string) => shownCertificate(gateway.port(443), servername);

test('a certificate: said on its listener, which goes on with the one before; that of another listener is rotated', async () => {
  const before = (await certificateFor('a.example.com')).serialNumber;
  const bothSecure = async () => {
    const hosts = ['a.example.com', 'b.example.com'];
    const [a, b] = await Promise.all(hosts.map((host) => call(gateway.port(443), '/', { host, tls: { ca: first.ca, servername: host } })));
    if (!a || !b) throw new Error('two answers');
    return a.status === 200 ? b : a;
  };
  const problems = await problemsDuring(bothSecure, async () => {
    certificateIsBad = true;
    await gateway.write('first.yaml', secretOf('first', await createCertificate(['a.example.com'], Date.now(), first)));
    await said('Gateway default/gw', /refused the listener.*Failed to load/);
    const report = gateway.status('Gateway default/gw');
    const programmed = (report?.form === 'whole' ? (report.listeners ?? []) : []).map(
      (l) => `${l.name} ${l.conditions.find((c) => c.type === 'Programmed')?.status}`,
    );
    expect(programmed).toEqual(['http True', 'a False', 'b True']);
    expect((await certificateFor('a.example.com')).serialNumber).toBe(before);
    const serial = (await certificateFor('b.example.com')).serialNumber;
    await gateway.write('second.yaml', secretOf('second', await createCertificate(['b.example.com'], Date.now(), first)));
    await eventually('b is rotated', async () => (await certificateFor('b.example.com')).serialNumber !== serial);
    await othersGoOn();
    certificateIsBad = false;
    await gateway.write('first.yaml', secretOf('first', await createCertificate(['a.example.com'], Date.now(), first)));
    await eventually('a is rotated', async () => (await certificateFor('a.example.com')).serialNumber !== before);
    await eventually('nothing is said any more', () => !status('Gateway default/gw').includes('refused'));
  });
  expect(problems).toEqual([]);
});
