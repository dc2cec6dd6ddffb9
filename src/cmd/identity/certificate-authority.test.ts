import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'protobufjs';
import { expect, test } from 'vitest';
import { createCertificateMethod, requestType, responseType } from './certificate-authority.ts';
import { renewalMillis, retryMillis } from './identity.ts';

test("the messages are those of Istio's API, as far as they are used", () => {
  const file = join(import.meta.dirname, '../../istio/proto/security/v1alpha1/ca.proto');
  const { root } = parse(readFileSync(file, 'utf8'), { keepCase: true });
  for (const ours of [requestType, responseType]) {
    const theirs = root.lookupType(`istio.v1.auth.${ours.name}`).fields;
    for (const { name, id, type, repeated } of ours.fieldsArray) expect(theirs[name]).toMatchObject({ id, type, repeated });
  }
  const [, service = '', method = ''] = createCertificateMethod.split('/');
  expect(root.lookupService(service).methods[method]).toMatchObject({
    requestType: requestType.name,
    responseType: responseType.name,
  });
});

test('a certificate is renewed at about half of its life, and at once when it has ended', () => {
  const hour = 3_600_000;
  expect(renewalMillis(24 * hour, 0, () => 0)).toBeCloseTo(10.8 * hour);
  expect(renewalMillis(24 * hour, 0, () => 1)).toBeCloseTo(13.2 * hour);
  expect(renewalMillis(hour, 2 * hour)).toBe(0);
  // setTimeout would fire at once.
  expect(renewalMillis(365 * 24 * hour, 0)).toBe(2 ** 31 - 1);
});

test('a CA that does not answer is asked more and more seldom, and often while there is no certificate or it is about to end', () => {
  const minute = 60_000;
  expect(retryMillis(1, 60 * minute, 0, () => 1)).toBe(500);
  expect(retryMillis(20, 60 * minute, 0, () => 1)).toBe(30_000);
  expect(retryMillis(20, minute - 1, 0, () => 1)).toBe(5000);
  expect(retryMillis(20, 0, minute, () => 1)).toBe(5000);
});
