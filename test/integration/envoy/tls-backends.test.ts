/** TLS on both sides of the proxy: backends whose certificates are verified, certificates of the proxy and of clients, and TLS that goes through. */
import { constants } from 'node:crypto';
import { type Server, createServer, request as httpsRequest } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { api, gatewayOf, objectOf, routeOf, ruleOf, serviceOf } from '../backend.ts';
import { type Authority, type KeyPair, caMapOf, createAuthority, secretOf } from '../certificates.ts';
import { type L4Backend, converse, startTcpBackend } from '../l4.ts';
import { type LocalGateway, call, eventually, problemsDuring, startLocalGateway } from '../local.ts';

let gateway: LocalGateway;
let ca: Authority;
let other: Authority;
let shop: Backend;
let strict: Backend;
let through: L4Backend;

interface Backend {
  readonly port: number;
  /** Shows another certificate from now on. */
  show(pair: KeyPair): void;
  close(): void;
}

/** A backend that answers with the server name that it was asked by and the name in the client's certificate. */
async function startTlsBackend(pair: KeyPair, clientCa?: string): Promise<Backend> {
  // A session that is resumed says no server name.
  const options = { cert: pair.certificate, key: pair.privateKey, secureOptions: constants.SSL_OP_NO_TICKET };
  const server: Server = createServer({ ...options, ...(clientCa && { requestCert: true, ca: clientCa }) }, (request, response) => {
    const socket = request.socket as TLSSocket & { servername?: string };
    // Each request on a connection of its own: with the certificate of the moment.
    response
      .setHeader('connection', 'close')
      .end(JSON.stringify({ sni: socket.servername, client: socket.getPeerCertificate().subject?.CN, version: request.httpVersion }));
  });
  await new Promise<void>((resolve, reject) => void server.once('error', reject).listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    show: (next) => server.setSecureContext({ cert: next.certificate, key: next.privateKey }),
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

const tlsPolicy = (service: string, hostname: string, map: string, names = ''): string => `---
apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: { name: ${service} }
spec:
  targetRefs: [{ group: '', kind: Service, name: ${service} }]
  validation:
    hostname: ${hostname}
    caCertificateRefs: [{ group: '', kind: ConfigMap, name: ${map} }]
${names && `    subjectAltNames: [${names}]\n`}`;

const services = ['right', 'wrong-ca', 'wrong-name', 'alt-dns', 'alt-uri', 'alt-none', 'no-ca', 'rotated'];
const host = 'a.example.com';
const listeners = [
  '{ name: http, protocol: HTTP, port: 80 }',
  '{ name: strict, protocol: HTTPS, port: 443, tls: { certificateRefs: [{ name: front }] } }',
  '{ name: loose, protocol: HTTPS, port: 8443, tls: { certificateRefs: [{ name: front }] } }',
  "{ name: pass, protocol: TLS, port: 9443, hostname: '*.pass.example.com', tls: { mode: Passthrough } }",
  '{ name: term, protocol: TLS, port: 9443, hostname: ended.example.com, tls: { certificateRefs: [{ name: front }] } }',
];
const frontend = `    frontend:
      default: { validation: { caCertificateRefs: [{ group: '', kind: ConfigMap, name: clients }] } }
      perPort:
        - port: 8443
          tls: { validation: { mode: AllowInsecureFallback, caCertificateRefs: [{ group: '', kind: ConfigMap, name: clients }] } }
`;
const gatewayText = (clientCertificate?: string): string =>
  `${gatewayOf(...listeners)}  tls:\n${frontend}${clientCertificate === undefined ? '' : `    backend: { clientCertificateRef: { name: ${clientCertificate} } }\n`}`;
const tlsRoute = (name: string, hostname: string, backend = 'through'): string => {
  const spec = `parentRefs: [{ name: gw }], hostnames: [${hostname}], rules: [{ backendRefs: [{ name: ${backend}, port: 80 }] }]`;
  return objectOf(api.gateway, 'TLSRoute', name, spec);
};

beforeAll(async () => {
  [ca, other] = await Promise.all([createAuthority('one'), createAuthority('two')]);
  const names = { dns: ['shop.internal', 'also.internal'], uris: ['spiffe://cluster.local/ns/default/sa/shop'] };
  const server = await ca.issue('server', 'shop', names);
  shop = await startTlsBackend(server);
  strict = await startTlsBackend(server, ca.pem);
  through = await startTcpBackend('through', {
    certificate: Buffer.from(server.certificate),
    privateKey: Buffer.from(server.privateKey),
    ca: ca.pem,
  });
  gateway = await startLocalGateway(
    {
      'gateway.yaml': gatewayText(),
      'secrets.yaml':
        secretOf('front', await ca.issue('server', 'front', { dns: ['*.example.com'] })) +
        secretOf('own', await ca.issue('client', 'the-gateway')),
      'ca.yaml': caMapOf('ca', ca.pem) + caMapOf('other', other.pem) + caMapOf('clients', ca.pem),
      'rotating.yaml': caMapOf('rotating', ca.pem),
      'backends.yaml':
        services.map((name) => serviceOf({ name, port: shop.port })).join('') +
        serviceOf({ name: 'strict', port: strict.port }) +
        serviceOf(through),
      'policies.yaml': [
        tlsPolicy('right', 'shop.internal', 'ca'),
        tlsPolicy('wrong-ca', 'shop.internal', 'other'),
        tlsPolicy('wrong-name', 'other.internal', 'ca'),
        tlsPolicy('alt-dns', 'asked.internal', 'ca', '{ type: Hostname, hostname: also.internal }'),
        tlsPolicy('alt-uri', 'asked.internal', 'ca', '{ type: URI, uri: spiffe://cluster.local/ns/default/sa/shop }'),
        tlsPolicy('alt-none', 'shop.internal', 'ca', '{ type: Hostname, hostname: nobody.internal }'),
        tlsPolicy('no-ca', 'shop.internal', 'gone'),
        tlsPolicy('rotated', 'shop.internal', 'rotating'),
        tlsPolicy('strict', 'shop.internal', 'ca'),
        tlsPolicy('through', 'shop.internal', 'ca'),
      ].join(''),
      'routes.yaml':
        routeOf(
          'a',
          [host],
          [...services, 'strict'].map((name) => ruleOf(`{ path: { value: /${name} } }`, '', name)),
        ) +
        tlsRoute('through', 'a.pass.example.com') +
        tlsRoute('ended', 'ended.example.com'),
    },
    [80, 443, 8443, 9443],
  );
  await eventually('Envoy serves', async () => (await call(gateway.port(80), '/right', { host })).status === 200);
});

afterAll(async () => {
  expect(gateway.rejections()).toEqual([]);
  expect(gateway.problems()).toEqual([]);
  await gateway.stop();
  for (const backend of [shop, strict, through]) backend.close();
});

const get = (path: string) => call(gateway.port(80), path, { host });
const answerOf = async (path: string): Promise<{ sni?: string; client?: string }> => {
  const { status, body } = await get(path);
  return status === 200 ? (JSON.parse(body) as object) : { sni: String(status) };
};

describe('a backend with a BackendTLSPolicy', () => {
  test.each([
    ['by the right CA', '/right', 'shop.internal'],
    ['by another DNS name that the policy lists', '/alt-dns', 'asked.internal'],
    ['by a URI that the policy lists', '/alt-uri', 'asked.internal'],
  ])('is reached %s, and asked for by the name of the policy', async (_how, path, sni) => {
    expect((await answerOf(path)).sni).toBe(sni);
  });

  test.each([
    ['of another CA', '/wrong-ca'],
    ['without the name', '/wrong-name'],
    ['without a name that the policy lists, though with its hostname', '/alt-none'],
    ['when there is no CA to know', '/no-ca'],
  ])('with a certificate %s is not reached', async (_what, path) => {
    expect((await get(path)).status).toBe(503);
  });

  test('changes its certificate and its CA without a failed request', async () => {
    const server = await ca.issue('server', 'shop', { dns: ['shop.internal'] });
    const next = await other.issue('server', 'shop', { dns: ['shop.internal'] });
    // A backend of its own: what the others show stays.
    const rotated = await startTlsBackend(server);
    await gateway.write('rotated.yaml', serviceOf({ name: 'moved', port: rotated.port }) + tlsPolicy('moved', 'shop.internal', 'rotating'));
    await gateway.write('moved.yaml', routeOf('moved', ['moved.example.com'], [ruleOf('{ path: { value: / } }', '', 'moved')]));
    const ask = () => call(gateway.port(80), '/', { host: 'moved.example.com' });
    await eventually('it is served', async () => (await ask()).status === 200);
    const problems = await problemsDuring(ask, async () => {
      await gateway.write('rotating.yaml', caMapOf('rotating', ca.pem, other.pem));
      await eventually('both CAs are known', async () => (await upstreamCas()).includes('two'));
      rotated.show(next);
      const before = await handshakes();
      await eventually('connections are opened with the new one', async () => (await handshakes()) > before);
      await gateway.write('rotating.yaml', caMapOf('rotating', other.pem));
      await eventually('the first CA is forgotten', async () => !(await upstreamCas()).includes('one'));
    });
    expect(problems).toEqual([]);
    rotated.show(server);
    await eventually('a certificate of the first CA is refused', async () => (await ask()).status === 503);
    await gateway.remove('moved.yaml');
    rotated.close();
  });
});

/** Names of the CAs in the cluster of the Service `moved`. */
async function upstreamCas(): Promise<readonly string[]> {
  const { body } = await call(gateway.adminPort, '/config_dump?resource=dynamic_active_clusters&name_regex=.*moved.*');
  return [ca, other].flatMap((c, i) => (body.includes(JSON.stringify(c.pem).slice(1, 200)) ? [['one', 'two'][i] ?? ''] : []));
}

/** TLS handshakes with the Service `moved` so far. */
async function handshakes(): Promise<number> {
  const { body } = await call(gateway.adminPort, '/stats?filter=kube_default_moved_80.ssl.handshake');
  return Number(/handshake: (\d+)/.exec(body)?.[1] ?? 0);
}

test('a backend that asks for a certificate gets that of the Gateway, and refuses without', async () => {
  expect((await get('/strict')).status).toBe(503);
  await gateway.write('gateway.yaml', gatewayText('own'));
  await eventually('it is shown', async () => (await answerOf('/strict')).client === 'the-gateway');
  expect((await answerOf('/right')).sni).toBe('shop.internal');
  await gateway.write('gateway.yaml', gatewayText());
  await eventually('it is not shown any more', async () => (await get('/strict')).status === 503);
});

/** Status over HTTPS with this certificate of the client; `refused` when the connection ends. */
function withCertificate(port: number, pair: KeyPair | undefined): Promise<number | 'refused'> {
  return new Promise((resolve) => {
    const own = pair ? { cert: pair.certificate, key: pair.privateKey } : {};
    const options = { host: '127.0.0.1', port: gateway.port(port), path: '/right', ca: ca.pem, servername: host, agent: false, ...own };
    httpsRequest({ ...options, setHost: false, headers: { host } }, (response) => {
      response.resume().on('end', () => resolve(response.statusCode ?? 0));
    })
      .on('error', () => resolve('refused'))
      .end();
  });
}

test('clients of a listener that validates: a certificate of its CA, no other and not none', async () => {
  const [good, bad] = await Promise.all([ca.issue('client', 'known'), other.issue('client', 'unknown')]);
  expect(await withCertificate(443, good)).toBe(200);
  expect(await withCertificate(443, undefined)).toBe('refused');
  expect(await withCertificate(443, bad)).toBe('refused');
});

test('with AllowInsecureFallback every client is let in', async () => {
  const [good, bad] = await Promise.all([ca.issue('client', 'known'), other.issue('client', 'unknown')]);
  for (const pair of [good, undefined, bad]) expect(await withCertificate(8443, pair)).toBe(200);
});

describe('a TLSRoute to a Service with a BackendTLSPolicy', () => {
  test('passes TLS through as it is: the client sees the certificate of the backend', async () => {
    const conversation = await converse(gateway.port(9443), 'a.pass.example.com');
    expect(conversation.name).toBe('through');
    expect(conversation.certificate?.subject.CN).toBe('shop');
    await conversation.say('hello');
    conversation.close();
  });

  test('ends TLS and speaks it to the backend anew', async () => {
    const conversation = await converse(gateway.port(9443), 'ended.example.com');
    expect(conversation.name).toBe('through');
    expect(conversation.certificate?.subject.CN).toBe('front');
    await conversation.say('hello');
    conversation.close();
  });

  test('passes it through likewise when the policy comes and goes', async () => {
    const seen = async (): Promise<string> => {
      const conversation = await converse(gateway.port(9443), 'b.pass.example.com').catch(() => undefined);
      const shown = String(conversation?.certificate?.subject.CN ?? 'closed');
      conversation?.close();
      return shown;
    };
    const service = serviceOf({ name: 'bare', port: through.port });
    await gateway.write('bare.yaml', tlsRoute('bare', 'b.pass.example.com', 'bare') + service);
    await eventually('it serves', async () => (await seen()) === 'shop');
    await gateway.write('bare.yaml', tlsRoute('bare', 'b.pass.example.com', 'bare') + service + tlsPolicy('bare', 'shop.internal', 'ca'));
    await eventually('the policy is there', () => JSON.stringify(gateway.status('BackendTLSPolicy default/bare')).includes('"Accepted"'));
    const clusters = async (): Promise<string> => (await call(gateway.adminPort, '/clusters')).body;
    await eventually('its cluster too', async () => (await clusters()).includes('|passthrough|bare.'));
    expect(await seen()).toBe('shop');
    await gateway.write('bare.yaml', tlsRoute('bare', 'b.pass.example.com', 'bare') + service);
    await eventually('the cluster is gone', async () => !(await clusters()).includes('|passthrough|bare.'));
    expect(await seen()).toBe('shop');
    await gateway.remove('bare.yaml');
  });
});
