/** Ingresses through a real Envoy: hosts, paths, default backends and certificates, on the Gateway that their class gets. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type XdsCertificate, createCertificate } from '../../../src/cmd/xds-certificate.ts';
import { type Backend, gatewayOf, serviceOf, startBackend } from '../backend.ts';
import { secretOf } from '../certificates.ts';
import { type Answer, type LocalGateway, call, echoOf, eventually, startLocalGateway } from '../local.ts';

let gateway: LocalGateway;
let backends: readonly Backend[];
let ca: XdsCertificate;

interface Path {
  readonly path: string;
  readonly type?: string;
  readonly to: string;
}

const to = (name: string): string => `{ service: { name: ${name}, port: { number: 80 } } }`;
const rule = (host: string, ...paths: readonly Path[]): string =>
  `{ ${host && `host: '${host}', `}http: { paths: [${paths.map((p) => `{ path: ${p.path}, pathType: ${p.type ?? 'Prefix'}, backend: ${to(p.to)} }`).join(', ')}] } }`;

const ingress = (name: string, spec: string, created = '2026-01-01', annotations = ''): string => `---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: { name: ${name}, creationTimestamp: '${created}T00:00:00Z'${annotations} }
spec: { ${spec} }
`;

const ingressClass = (parameters = ''): string => `---
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: { name: public, uid: class, annotations: { ingressclass.kubernetes.io/is-default-class: 'true' } }
spec: { controller: kgateway.dev/kgateway${parameters} }
---
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: { name: other }
spec: { controller: example.com/other }
`;

const [gatewayClass = ''] = gatewayOf().split('---\napiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\n');

beforeAll(async () => {
  backends = await Promise.all(['one', 'two', 'three', 'fallback'].map((name) => startBackend(name)));
  ca = await createCertificate(['a.example.com', 'x.wild.example.com'], Date.now());
  const wild = await createCertificate(['*.wild.example.com'], Date.now(), ca);
  gateway = await startLocalGateway(
    {
      'class.yaml': gatewayClass + ingressClass(),
      'backends.yaml': backends.map((b) => serviceOf(b)).join(''),
      'secrets.yaml': secretOf('a', ca) + secretOf('wild', wild),
      'ingresses.yaml': [
        ingress(
          'a',
          `ingressClassName: public, tls: [{ hosts: [a.example.com], secretName: a }, { hosts: ['*.wild.example.com'], secretName: wild }], rules: [${[
            rule(
              'a.example.com',
              { path: '/', to: 'one' },
              { path: '/exact', type: 'Exact', to: 'two' },
              { path: '/deep/er/', to: 'three' },
            ),
            rule('*.wild.example.com', { path: '/', to: 'two' }),
            rule('own.wild.example.com', { path: '/own', type: 'ImplementationSpecific', to: 'three' }),
          ].join(', ')}]`,
        ),
        // The same host, in another Ingress without a class; a certificate that does not count, for it is younger.
        ingress(
          'more',
          `tls: [{ hosts: [a.example.com], secretName: missing }], rules: [${rule('a.example.com', { path: '/more', to: 'two' }, { path: '/', to: 'two' })}]`,
          '2026-01-02',
        ),
        ingress('default', `defaultBackend: ${to('fallback')}`, '2025-01-01'),
        ingress('any', `rules: [${rule('', { path: '/everywhere', to: 'three' })}]`, '2026-01-01'),
        ingress(
          'broken',
          `tls: [{ hosts: [broken.example.com], secretName: missing }], rules: [${rule('broken.example.com', { path: '/', to: 'nobody' })}]`,
        ),
        ingress('foreign', `ingressClassName: other, rules: [${rule('foreign.example.com', { path: '/', to: 'one' })}]`),
        ingress(
          'legacy',
          `rules: [${rule('legacy.example.com', { path: '/', to: 'two' })}]`,
          '2026-01-01',
          ', annotations: { kubernetes.io/ingress.class: public }',
        ),
      ].join(''),
    },
    [80, 443],
    { gateway: { namespace: 'kgateway-system', name: 'public-ingress' } },
  );
  await eventually(
    'Envoy serves',
    async () => (await get('a.example.com', '/')).status === 200 && (await secure('a.example.com', '/')).status === 200,
  );
});

afterAll(async () => {
  expect(gateway.rejections()).toEqual([]);
  expect(gateway.problems()).toEqual([]);
  await gateway.stop();
  for (const b of backends) b.close();
});

const get = (host: string, path: string): Promise<Answer> => call(gateway.port(80), path, { host });
const secure = (host: string, path: string): Promise<Answer> =>
  call(gateway.port(443), path, { host, tls: { ca: ca.ca, servername: host } });
const serverOf = async (answer: Promise<Answer>): Promise<string> => echoOf(await answer).service;

// Kubernetes: Ingress, path types and multiple matches.
describe('paths', () => {
  test.each([
    ['/', 'one'],
    ['/exact', 'two'],
    ['/exact/', 'one'],
    ['/exactly', 'one'],
    ['/deep', 'one'],
    ['/deep/er', 'three'],
    ['/deep/er/', 'three'],
    ['/deep/er/still', 'three'],
    ['/deep/erer', 'one'],
    // Of another Ingress.
    ['/more/of/it', 'two'],
  ])('%s of a host leads to %s', async (path, server) => {
    expect(await serverOf(get('a.example.com', path))).toBe(server);
    expect(await serverOf(secure('a.example.com', path))).toBe(server);
  });
});

describe('hosts', () => {
  test('a wildcard stands for one label', async () => {
    expect(await serverOf(get('x.wild.example.com', '/'))).toBe('two');
    expect(await serverOf(get('X.wild.example.com:8080', '/'))).toBe('two');
    expect(await serverOf(get('x.y.wild.example.com', '/'))).toBe('fallback');
    expect(await serverOf(get('wild.example.com', '/'))).toBe('fallback');
  });

  test('an exact host goes before it', async () => {
    expect(await serverOf(get('own.wild.example.com', '/own/x'))).toBe('three');
    expect(await serverOf(secure('own.wild.example.com', '/own'))).toBe('three');
  });

  test('paths without a host are for every host, and before the default backend', async () => {
    expect(await serverOf(get('unknown.example.com', '/everywhere'))).toBe('three');
    expect(await serverOf(get('unknown.example.com', '/else'))).toBe('fallback');
  });

  test('the class may be the default one or stand in the old annotation; of other classes nothing is served', async () => {
    expect(await serverOf(get('legacy.example.com', '/'))).toBe('two');
    expect(await serverOf(get('foreign.example.com', '/'))).toBe('fallback');
  });
});

describe('certificates', () => {
  test('of the Secrets of the Ingress, for wildcards too', async () => {
    expect(await serverOf(secure('x.wild.example.com', '/'))).toBe('two');
  });

  test('one that is missing takes HTTPS from its host alone', async () => {
    await expect(secure('broken.example.com', '/')).rejects.toThrow();
    expect((await get('broken.example.com', '/')).status).toBe(500);
  });
});

test('the status has the addresses of the Gateway', () => {
  expect(gateway.status('Ingress default/a')).toMatchObject({ fields: { loadBalancer: { ingress: [{ ip: '127.0.0.1' }] } } });
  expect(gateway.status('Ingress default/foreign')).toBeUndefined();
  expect(gateway.status('HTTPRoute default/ingress~a~a.example.com')).toBeUndefined();
  expect(gateway.status('ListenerSet default/ingress~a')).toBeUndefined();
});

test('a port by name follows the Service', async () => {
  const backend = '{ service: { name: one, port: { name: http } } }';
  await gateway.write(
    'named.yaml',
    ingress('named', `rules: [{ host: named.example.com, http: { paths: [{ path: /, pathType: Prefix, backend: ${backend} }] } }]`),
  );
  await eventually('it serves', async () => (await serverOf(get('named.example.com', '/'))) === 'one');
  await gateway.remove('named.yaml');
  await eventually('it is gone', async () => (await serverOf(get('named.example.com', '/'))) === 'fallback');
});
