// What crosses namespaces, and certificates: access comes and goes with ReferenceGrants and Secrets, and nobody else's traffic is touched.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createCertificate } from '../../../src/cmd/xds-certificate.ts';
import type { XdsCertificate } from '../../../src/cmd/xds-certificate.ts';
import { ReferenceGrants, Secrets } from '../../../src/kube/resources.ts';
import { secretOf, shownCertificate } from '../certificates.ts';
import { testNamespace } from '../cluster.ts';
import { described, eventually, useCluster } from './cluster.ts';
import { echoServer, gateway, route } from './objects.ts';
import { echo, send } from './traffic.ts';

const cluster = useCluster();
let other: AsyncDisposable & { readonly name: string };
let address: string;
let certificate: XdsCertificate;

const host = 'secure.example.com';
const grant = (from: 'Gateway' | 'HTTPRoute', to: 'Secret' | 'Service'): string => `
apiVersion: gateway.networking.k8s.io/v1beta1
kind: ReferenceGrant
metadata: {name: ${to.toLowerCase()}, namespace: ${other.name}}
spec:
  from: [{group: gateway.networking.k8s.io, kind: ${from}, namespace: ${cluster.namespace}}]
  to: [{group: "", kind: ${to}}]
`;
const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
const listener = (name: string, port: number, certificateRef: string): string =>
  `{name: ${name}, port: ${port}, protocol: HTTPS, tls: {certificateRefs: [${certificateRef}]}}`;

/** Serial number of the certificate that a port presents. */
const served = async (port: number): Promise<string> => (await shownCertificate(port, host, address)).serialNumber;

beforeAll(async () => {
  other = await testNamespace(cluster.client);
  certificate = await createCertificate([host], Date.now());
  await cluster.apply(echoServer('echo') + '---' + echoServer('far', { namespace: other.name }));
  await cluster.apply(secretOf('near', certificate) + secretOf('far', certificate, other.name));
  const listeners = [
    '{name: http, port: 80, protocol: HTTP}',
    listener('near', 443, '{name: near}'),
    listener('far', 8443, `{name: far, namespace: ${other.name}}`),
  ];
  await cluster.apply(gateway('web', `  listeners: [${listeners.join(', ')}]\n`));
  await cluster.apply(route('near', { gateway: 'web', host, to: 'echo' }));
  await cluster.apply(route('far', { gateway: 'web', host: 'far.example.com', to: `{name: far, namespace: ${other.name}, port: 80}` }));
  address = await cluster.address('web');
  await cluster.rolledOut('web');
});
afterAll(() => other[Symbol.asyncDispose]());

describe('a backend in another namespace', () => {
  const answer = () => send({ address, host: 'far.example.com' });

  test('is refused without a ReferenceGrant', async () => {
    await eventually(async () => expect((await answer()).status).toBe(500));
    expect(described(await cluster.routeConditions('far'))).toContain('ResolvedRefs=False RefNotPermitted');
  });

  test('is served with one, until it is removed', async () => {
    await cluster.apply(grant('HTTPRoute', 'Service'));
    await eventually(async () => expect((await echo({ address, host: 'far.example.com' })).namespace).toBe(other.name));
    await eventually(async () => expect(described(await cluster.routeConditions('far'))).toContain('ResolvedRefs=True ResolvedRefs'));
    await cluster.remove(ReferenceGrants, `${other.name}/service`);
    await eventually(async () => expect((await answer()).status).toBe(500));
    await eventually(async () => expect(described(await cluster.routeConditions('far'))).toContain('ResolvedRefs=False RefNotPermitted'));
  });
});

describe('a certificate in another namespace', () => {
  const secure = () => echo({ address, port: 8443, host, tls: { ca: certificate.ca }, timeout: 500 });

  test('is not read without a ReferenceGrant', async () => {
    await eventually(async () => expect(await cluster.gatewayConditions('web', 'far')).toContain('ResolvedRefs=False RefNotPermitted'));
    await expect(secure()).rejects.toThrow();
  });

  test('is served with one, until it is removed, and the other listeners all the time', async () => {
    await using traffic = await cluster.traffic({ address, host, tls: { ca: certificate.ca }, newConnections: true });
    await cluster.apply(grant('Gateway', 'Secret'));
    await eventually(secure);
    await eventually(async () => expect(await cluster.gatewayConditions('web', 'far')).toContain('Programmed=True Programmed'));
    await cluster.remove(ReferenceGrants, `${other.name}/secret`);
    await eventually(() => expect(secure()).rejects.toThrow());
    await eventually(async () => expect(await cluster.gatewayConditions('web', 'far')).toContain('ResolvedRefs=False RefNotPermitted'));
    await traffic.more(50);
    expect(traffic.failures).toEqual([]);
  });
});

describe('a certificate', () => {
  const ownTraffic = (port: number) =>
    port === 80
      ? cluster.traffic({ address, host })
      : cluster.traffic({ address, host, tls: { ca: certificate.ca }, newConnections: true });

  test('is rotated without a failed handshake', async () => {
    await using fresh = await ownTraffic(443);
    await using kept = await cluster.traffic({ address, host, tls: { ca: certificate.ca } });
    for (let i = 0; i < 10; i++) {
      const before = await served(443);
      await cluster.apply(secretOf('near', await createCertificate([host], Date.now(), certificate)));
      await eventually(async () => expect(await served(443)).not.toBe(before));
      await fresh.more(20);
    }
    await kept.more(50);
    expect([...fresh.failures, ...kept.failures]).toEqual([]);
  });

  test.each([
    ['is not PEM', { 'tls.crt': base64(Buffer.from('broken')) }],
    ['has another key', async () => ({ 'tls.key': base64((await createCertificate([host], Date.now())).privateKey) })],
  ])('that %s is reported on its listener, and the last valid one serves on', async (_case, broken) => {
    await using plain = await ownTraffic(80);
    await cluster.patch(Secrets, 'near', { data: typeof broken === 'function' ? await broken() : broken });
    await eventually(async () => {
      expect(await cluster.gatewayConditions('web', 'near')).toContain('ResolvedRefs=False InvalidCertificateRef');
    });
    expect(await echo({ address, host, tls: { ca: certificate.ca } })).toBeTruthy();
    expect(await cluster.gatewayConditions('web', 'http')).toContain('Programmed=True Programmed');
    await cluster.apply(secretOf('near', certificate));
    await eventually(() => echo({ address, host, tls: { ca: certificate.ca } }));
    await eventually(async () => expect(await cluster.gatewayConditions('web', 'near')).toContain('ResolvedRefs=True ResolvedRefs'));
    await plain.more(50);
    expect(plain.failures).toEqual([]);
  });

  test('that is deleted is missed, and found when it is back', async () => {
    await using plain = await ownTraffic(80);
    await cluster.remove(Secrets, 'near');
    await eventually(async () =>
      expect(await cluster.gatewayConditions('web', 'near')).toContain('ResolvedRefs=False InvalidCertificateRef'),
    );
    await cluster.apply(secretOf('near', certificate));
    await eventually(() => echo({ address, host, tls: { ca: certificate.ca } }));
    await plain.more(50);
    expect(plain.failures).toEqual([]);
  });
});
