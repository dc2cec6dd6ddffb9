/** What the options of HTTPS listeners do to handshakes. */
import { X509Certificate } from 'node:crypto';
import { type ConnectionOptions, type TLSSocket, connect } from 'node:tls';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type XdsCertificate, createCertificate } from '../../../src/cmd/xds-certificate.ts';
import { type Backend, gatewayOf, routeOf, ruleOf, serviceOf, startBackend } from '../backend.ts';
import { type KeyPair, caMapOf, createAuthority, secretOf } from '../certificates.ts';
import { type LocalGateway, call, eventually, startLocalGateway } from '../local.ts';

let gateway: LocalGateway;
let one: Backend;
let server: XdsCertificate;
let client: KeyPair;
let stranger: KeyPair;

const listener = (name: string, options: string, port = 443): string =>
  `{ name: ${name}, protocol: HTTPS, port: ${port}, hostname: ${name}.example.com, tls: { certificateRefs: [{ name: server }], options: { ${options} } } }`;

const gatewayWith = (unknown: string): string =>
  gatewayOf(
    listener('plain', ''),
    listener('old', 'kgateway.dev/max-tls-version: "1.2", kgateway.dev/cipher-suites: TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384'),
    listener('new', 'kgateway.dev/min-tls-version: "1.3", kgateway.dev/ecdh-curves: P-384'),
    listener('one', 'kgateway.dev/alpn-protocols: http/1.1'),
    listener('none', 'kgateway.dev/alpn-protocols: allow-empty'),
    listener('hash', `kgateway.dev/verify-certificate-hash: '${new X509Certificate(client.certificate).fingerprint256}'`),
    listener('names', 'kgateway.dev/verify-subject-alt-names: client.example.com', 8443),
    listener('unknown', unknown),
  ) +
  `  tls: { frontend: { default: {}, perPort: [{ port: 8443, tls: { validation: { caCertificateRefs: [{ group: '', kind: ConfigMap, name: ca }] } } }] } }\n`;

beforeAll(async () => {
  const now = Date.now();
  one = await startBackend('one');
  server = await createCertificate(['*.example.com'], now);
  const authority = await createAuthority('clients');
  client = await authority.issue('client', 'client.example.com', { dns: ['client.example.com'] });
  stranger = await authority.issue('client', 'stranger.example.com', { dns: ['stranger.example.com'] });
  gateway = await startLocalGateway(
    {
      'gateway.yaml': gatewayWith('kgateway.dev/no-such-key: x'),
      'secrets.yaml': secretOf('server', server) + caMapOf('ca', authority.pem),
      'backends.yaml': serviceOf(one),
      'routes.yaml': routeOf('all', [], [ruleOf('{ path: { value: / } }')]),
    },
    [443, 8443],
  );
  expect(gateway.problems()).toEqual([]);
  await eventually('Envoy serves', async () => (await get('plain.example.com')).status === 200);
});

afterAll(async () => {
  expect(gateway.rejections()).toEqual([]);
  await gateway.stop();
  one.close();
});

const get = (host: string) => call(gateway.port(443), '/', { host, tls: { ca: server.ca, servername: host } });

const shown = ({ certificate, privateKey }: KeyPair): ConnectionOptions => ({ cert: certificate, key: privateKey });

/** What a handshake comes to; undefined when there is none. A refused certificate of the client shows only after its end in TLS 1.3. */
function handshake(
  name: string,
  options: ConnectionOptions = {},
  port = 443,
): Promise<{ readonly version: string | null; readonly cipher: string; readonly alpn: string | false | null } | undefined> {
  return new Promise((resolve) => {
    const socket: TLSSocket = connect({
      host: '127.0.0.1',
      port: gateway.port(port),
      servername: `${name}.example.com`,
      ca: server.ca,
      ALPNProtocols: ['http/1.1'],
      ...options,
    });
    const found = () => ({ version: socket.getProtocol(), cipher: socket.getCipher().name, alpn: socket.alpnProtocol });
    socket.on('secureConnect', () => {
      if (socket.alpnProtocol !== 'h2')
        return void socket.write(`GET / HTTP/1.1\r\nhost: ${name}.example.com\r\nconnection: close\r\n\r\n`);
      resolve(found());
      socket.destroy();
    });
    socket.on('data', () => {
      resolve(found());
      socket.destroy();
    });
    socket.on('error', () => resolve(undefined));
    socket.on('close', () => resolve(undefined));
  });
}

test('without options', async () => {
  expect(await handshake('plain', { ALPNProtocols: ['h2', 'http/1.1'] })).toMatchObject({ version: 'TLSv1.3', alpn: 'h2' });
  expect(await handshake('plain', { maxVersion: 'TLSv1.1', minVersion: 'TLSv1', ciphers: 'DEFAULT@SECLEVEL=0' })).toBeUndefined();
});

test('versions and suites', async () => {
  expect(await handshake('old')).toMatchObject({ version: 'TLSv1.2', cipher: 'ECDHE-ECDSA-AES256-GCM-SHA384' });
  expect(await handshake('old', { minVersion: 'TLSv1.3' })).toBeUndefined();
  expect(await handshake('old', { ciphers: 'ECDHE-ECDSA-AES128-GCM-SHA256' })).toBeUndefined();
  expect(await handshake('new')).toMatchObject({ version: 'TLSv1.3' });
  expect(await handshake('new', { maxVersion: 'TLSv1.2' })).toBeUndefined();
});

test('curves', async () => {
  expect(await handshake('new', { ecdhCurve: 'P-256' })).toBeUndefined();
  expect(await handshake('new', { ecdhCurve: 'P-384' })).toBeDefined();
});

test('protocols', async () => {
  expect(await handshake('one', { ALPNProtocols: ['h2', 'http/1.1'] })).toMatchObject({ alpn: 'http/1.1' });
  expect(await handshake('none')).toMatchObject({ alpn: false });
});

test('a hash asks clients for that certificate', async () => {
  expect(await handshake('hash', shown(client))).toBeDefined();
  expect(await handshake('hash', shown(stranger))).toBeUndefined();
  expect(await handshake('hash')).toBeUndefined();
});

test('a name asks clients for one that a CA has given it', async () => {
  const foreign = await (await createAuthority('other')).issue('client', 'client.example.com', { dns: ['client.example.com'] });
  expect(await handshake('names', shown(client), 8443)).toBeDefined();
  expect(await handshake('names', shown(stranger), 8443)).toBeUndefined();
  expect(await handshake('names', shown(foreign), 8443)).toBeUndefined();
});

test('an unknown key fails its listener, until it is gone', async () => {
  expect(await handshake('unknown')).toBeUndefined();
  await gateway.write('gateway.yaml', gatewayWith('example.com/no-such-key: x'));
  await eventually('it serves', async () => (await get('unknown.example.com')).status === 200);
});
