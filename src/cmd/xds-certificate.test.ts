import { X509Certificate, createPrivateKey } from 'node:crypto';
import { expect, test } from 'vitest';
import { certificateOf, createCertificate, CurrentCertificate } from './xds-certificate.ts';

const now = Date.parse('2026-06-01T00:00:00Z');
const year = 365 * 86_400_000;
const names = ['kgateway.kgateway-system.svc', 'kgateway'];

test('a certificate serves its names, is signed by its CA and belongs to its key', async () => {
  const made = await createCertificate(names, now);
  const leaf = new X509Certificate(made.certificate);
  const ca = new X509Certificate(made.ca);
  expect(leaf.subjectAltName).toBe('DNS:kgateway.kgateway-system.svc, DNS:kgateway');
  expect(leaf.verify(ca.publicKey)).toBe(true);
  expect(ca.ca).toBe(true);
  expect(leaf.ca).toBe(false);
  expect(leaf.checkPrivateKey(createPrivateKey(made.privateKey))).toBe(true);
  expect(leaf.validToDate.getTime()).toBe(now + year);
});

test('a renewed certificate keeps its CA, so that proxies need not learn another one', async () => {
  const made = await createCertificate(names, now);
  const renewed = await createCertificate(names, now + year, made);
  expect(renewed.ca).toBe(made.ca);
  expect(renewed.certificate.equals(made.certificate)).toBe(false);
  expect(new X509Certificate(renewed.certificate).verify(new X509Certificate(made.ca).publicKey)).toBe(true);
});

test('a CA near its end is replaced', async () => {
  const made = await createCertificate(names, now);
  const renewed = await createCertificate(names, now + 9 * year, made);
  expect(renewed.ca).not.toBe(made.ca);
});

test('a Secret without a part says which and what to do', () => {
  const secret = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'kgateway-xds-cert', namespace: 'ns' }, data: { 'tls.crt': '' } };
  expect(() => certificateOf({ ...secret, data: {} })).toThrow('Secret ns/kgateway-xds-cert has no tls.crt; delete it to have one made');
});

test('replacing tells listeners, once for each new certificate', async () => {
  const [a, b] = await Promise.all([createCertificate(names, now), createCertificate(names, now)]);
  const current = new CurrentCertificate(a);
  let changes = 0;
  const subscription = current.onChange(() => changes++);
  current.replace(a);
  current.replace(b);
  expect([changes, current.current()]).toEqual([1, b]);
  subscription[Symbol.dispose]();
  current.replace(a);
  expect(changes).toBe(1);
});
