/** TLS that DestinationRules ask a waypoint for: Secrets, names and ports, through a real Envoy. */
import { type Server, createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { type Backend, startBackend } from '../backend.ts';
import { type Authority, type KeyPair, createAuthority } from '../certificates.ts';
import { type LocalGateway, echoOf, eventually, startLocalGateway } from '../local.ts';
import { machineAddress } from '../machine.ts';
import { waypointClient, waypointGateway } from '../waypoint.ts';

const machine = machineAddress();
const host = 'api.example.com';
let gateway: LocalGateway;
let servers: Authority;
let clients: Authority;
let serverPair: KeyPair;
let mutual: Server;
let simple: Server;
let plain: Backend;
const written = new Set<string>();
const client = waypointClient(() => gateway.port(15_088), '10.96.5.1');
const { get } = client;
const granted = '10.96.5.2';

async function write(file: string, text: string): Promise<void> {
  written.add(file);
  await gateway.write(file, text);
}

const rule = (trafficPolicy: string, namespace = 'default', of = host): Promise<void> =>
  write(
    `${namespace}-rule.yaml`,
    `apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: { name: rule, namespace: ${namespace} }\nspec: { host: ${of}, trafficPolicy: ${trafficPolicy} }\n`,
  );

const secret = (name: string, data: Readonly<Record<string, string>>): Promise<void> => {
  const encoded = Object.entries(data).map(([key, text]) => `${key}: ${Buffer.from(text).toString('base64')}`);
  return write(`${name}.yaml`, `apiVersion: v1\nkind: Secret\nmetadata: { name: ${name} }\ndata: { ${encoded.join(', ')} }\n`);
};

/** What the server answers: the server name that it was asked for, and the name in the certificate that it was shown. */
const body = async (call?: Parameters<typeof get>[1]): Promise<string | number> => {
  const answer = await get('/', call);
  return answer.status === 200 ? answer.body : answer.status;
};

const answers = (expected: string | number, call?: Parameters<typeof get>[1]) =>
  eventually(
    `the answer is ${expected}`,
    async () => (await body(call)) === expected || Promise.reject(new Error(String(await body(call)))),
  );

/** A session that goes on names no server. */
const shown = (name: string) => eventually(`${name} is shown`, async () => String(await body()).endsWith(` ${name}`));

const condition = (name = 'default/rule'): string => JSON.stringify(gateway.status(`DestinationRule ${name}`));

function startServer(requestCert: boolean): Promise<Server> {
  const options = { cert: serverPair.certificate, key: serverPair.privateKey, ca: clients.pem, requestCert, rejectUnauthorized: true };
  const server = createServer(options, (request, response) => {
    const socket = request.socket as TLSSocket & { readonly servername: string | false };
    response.end(`${socket.servername || 'none'} ${String(socket.getPeerCertificate().subject?.CN ?? 'nobody')}`);
  });
  return new Promise((resolve) => server.listen(0, machine, () => resolve(server)));
}

const portOf = (server: Server): number => (server.address() as AddressInfo).port;

beforeAll(async () => {
  [servers, clients] = [await createAuthority('servers'), await createAuthority('clients')];
  serverPair = await servers.issue('server', 'server', { dns: [host, 'other.example.com'], uris: ['spiffe://cluster.local/ns/a/sa/b'] });
  [mutual, simple] = [await startServer(true), await startServer(false)];
  plain = await startBackend('plain', { address: machine });
  const ports = [mutual, simple].map((s, i) => `{ number: 8${i}, name: http-${i}, protocol: HTTP, targetPort: ${portOf(s)} }`).join(', ');
  const entry = (name: string, namespace: string, of: string, address: string, more = '') => `---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: ${name}, namespace: ${namespace}, labels: { istio.io/use-waypoint: gw, istio.io/use-waypoint-namespace: default } }
spec:
  hosts: [${of}]
  addresses: [${address}]
  resolution: STATIC
  ports: [${ports}, { number: 82, name: http-2, protocol: HTTP, targetPort: ${plain.port} }]
  endpoints: [{ address: ${machine} }]${more}
`;
  gateway = await startLocalGateway(
    {
      'gateway.yaml': waypointGateway.replace('port: 15088 }]', 'port: 15088, allowedRoutes: { namespaces: { from: All } } }]'),
      'entries.yaml':
        entry('api', 'default', host, '10.96.5.1') +
        entry('granted', 'server', 'granted.example.com', granted) +
        entry('named', 'default', 'named.example.com', '10.96.5.3', '\n  subjectAltNames: [spiffe://cluster.local/ns/a/sa/b]'),
    },
    [15_088],
  );
  await eventually('the waypoint serves', async () => (await get('/', { port: 82 })).status === 200);
});

afterEach(async () => {
  for (const file of written) await gateway.remove(file);
  written.clear();
});

afterAll(async () => {
  expect(gateway.rejections()).toEqual([]);
  client.close();
  await gateway.stop();
  for (const server of [mutual, simple]) server.close();
  plain.close();
});

test('MUTUAL shows the key pair of a Secret and verifies by its CAs; a new pair is shown at once, and one that is none leaves the last', async () => {
  const data = async (name: string) => {
    const pair = await clients.issue('client', name);
    return { 'tls.crt': pair.certificate, 'tls.key': pair.privateKey, 'ca.crt': servers.pem };
  };
  // Connections that are open keep what they have shown.
  await rule('{ connectionPool: { http: { maxRequestsPerConnection: 1 } }, tls: { mode: MUTUAL, credentialName: credential } }');
  await answers(503);
  await eventually('it is told', () => condition().includes('Secret default/credential not found, so its backends are not reached'));
  await secret('credential', await data('one'));
  await shown('one');
  expect(condition()).toContain('"conditions":[]');
  await secret('credential', await data('two'));
  await shown('two');
  await secret('credential', { ...(await data('three')), 'tls.key': 'none' });
  await eventually('it is told', () => condition().includes('so the last valid one is shown'));
  await shown('two');
  await secret('credential', { ...(await data('four')), 'ca.crt': clients.pem });
  await answers(503);
});

test('CAs may stand in a Secret beside it, and what they revoked is not reached', async () => {
  const pair = await clients.issue('client', 'generic');
  await secret('credential', { cert: pair.certificate, key: pair.privateKey });
  await secret('credential-cacert', { cacert: servers.pem });
  await rule('{ tls: { mode: MUTUAL, credentialName: credential } }');
  await answers(`${host} generic`);
  await secret('credential-cacert', { cacert: servers.pem, crl: await servers.revoke() });
  await answers(`${host} generic`);
  await secret('credential-cacert', { cacert: servers.pem, crl: await servers.revoke(serverPair.certificate) });
  await answers(503);
  await secret('credential-cacert', { cacert: servers.pem, crl: 'none' });
  await eventually('it is told', () => condition().includes('has no PEM certificate revocation list in crl'));
  await answers(503);
});

test('SIMPLE shows nothing; sni and subjectAltNames are those of the rule, and settings of a port stand for all others', async () => {
  await secret('credential', { 'ca.crt': servers.pem });
  const tls = (more = '') => `{ mode: SIMPLE, credentialName: credential${more} }`;
  await rule(`{ tls: ${tls()}, portLevelSettings: [{ port: { number: 82 }, loadBalancer: { simple: RANDOM } }] }`);
  await answers(`${host} nobody`, { port: 81 });
  expect(echoOf(await get('/', { port: 82 })).service).toBe('plain');
  // This server wants to see a certificate.
  await answers(503, { port: 80 });
  const at81 = (more: string) => rule(`{ portLevelSettings: [{ port: { number: 81 }, tls: ${tls(more)} }] }`);
  await at81(', sni: other.example.com');
  await answers('other.example.com nobody', { port: 81 });
  await at81(', sni: third.example.com');
  await answers(503, { port: 81 });
  await at81(', sni: third.example.com, subjectAltNames: [wrong.example.com, spiffe://cluster.local/ns/a/sa/b]');
  await answers('third.example.com nobody', { port: 81 });
  await at81(', subjectAltNames: [wrong.example.com]');
  await answers(503, { port: 81 });
  await at81(', subjectAltNames: [wrong.example.com], insecureSkipVerify: true');
  await answers(`${host} nobody`, { port: 81 });
});

test('a ServiceEntry says whose certificate it is, where the rule does not', async () => {
  const to = { address: '10.96.5.3', port: 81 };
  await secret('credential', { 'ca.crt': servers.pem });
  await rule('{ tls: { mode: SIMPLE, credentialName: credential } }', 'default', 'named.example.com');
  await answers('named.example.com nobody', to);
  await rule('{ tls: { mode: SIMPLE, credentialName: credential, subjectAltNames: [named.example.com] } }', 'default', 'named.example.com');
  await answers(503, to);
});

test('a rule of another namespace takes a ReferenceGrant', async () => {
  const to = { address: granted, port: 81 };
  await secret('credential', { 'ca.crt': servers.pem });
  await rule('{ tls: { mode: SIMPLE, credentialName: credential, subjectAltNames: [api.example.com] } }', 'server', 'granted.example.com');
  await answers(503, to);
  await eventually('it is told', () => condition('server/rule').includes('not permitted by ReferenceGrant'));
  await write(
    'grant.yaml',
    `
apiVersion: gateway.networking.k8s.io/v1beta1
kind: ReferenceGrant
metadata: { name: rules }
spec: { from: [{ group: networking.istio.io, kind: DestinationRule, namespace: server }], to: [{ group: '', kind: Secret, name: credential }] }
`,
  );
  await answers('granted.example.com nobody', to);
  await gateway.remove('grant.yaml');
  written.delete('grant.yaml');
  await answers(503, to);
});

test('files are not in the Pod of a waypoint: what names one is not reached, but for the CAs of the image', async () => {
  await rule('{ tls: { mode: MUTUAL, clientCertificate: /etc/a.pem, privateKey: /etc/k.pem, caCertificates: /etc/ca.pem } }');
  await answers(503);
  await eventually('it is told', () => condition().includes('tls.clientCertificate names a file'));
  expect(condition()).toContain('tls.caCertificates names a file');
  await rule('{ tls: { mode: SIMPLE, caCertificates: /etc/ssl/certs/ca-certificates.crt } }');
  await eventually('nothing is wrong with it', () => condition().includes('"conditions":[]'));
  // The server is not signed by them.
  await answers(503, { port: 81 });
});

test('ISTIO_MUTUAL and DISABLE add no TLS: that of the mesh is there already', async () => {
  for (const mode of ['ISTIO_MUTUAL', 'DISABLE']) {
    await rule(`{ loadBalancer: { warmup: { duration: 1s } }, tls: { mode: ${mode} } }`);
    await eventually('the rule is read', () => condition().includes('loadBalancer.warmup'));
    for (let i = 0; i < 10; i++) expect(echoOf(await get('/', { port: 82 })).service).toBe('plain');
    await gateway.remove('default-rule.yaml');
  }
  written.clear();
});
