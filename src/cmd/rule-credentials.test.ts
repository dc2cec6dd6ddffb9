/** What a DestinationRule reads at waypoints: Secrets of the namespace of the waypoint, from another one by grant alone. */
import { beforeAll, expect, test } from 'vitest';
import { type Translation, translateYaml } from './golden.ts';
import { type XdsCertificate, createCertificate } from './xds-certificate.ts';

let pair: XdsCertificate;
beforeAll(async () => {
  pair = await createCertificate(['client.example.com'], Date.now());
});

const base64 = (data: Uint8Array | string): string => Buffer.from(data as string).toString('base64');

const world = (mode: string, ruleNamespace: string, spec = ''): string => `
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: { name: kgateway-waypoint, annotations: { ambient.istio.io/waypoint-inbound-binding: PROXY/15088 } }
spec: { controllerName: kgateway.dev/kgateway }
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: { name: wp, namespace: mesh }
spec:
  gatewayClassName: kgateway-waypoint
  listeners: [{ name: proxy, port: 15088, protocol: istio.io/PROXY, allowedRoutes: { namespaces: { from: All } } }]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: api, namespace: demo, labels: { istio.io/use-waypoint: wp, istio.io/use-waypoint-namespace: mesh } }
spec: { hosts: [api.example.com], addresses: [240.0.0.1], resolution: STATIC, ports: [{ number: 80, name: http, protocol: HTTP }], endpoints: [{ address: 192.0.2.1 }] }
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: api, namespace: ${ruleNamespace} }
spec: { host: api.example.com, ${spec} trafficPolicy: { tls: { mode: ${mode}, credentialName: credential } } }
---
apiVersion: v1
kind: Secret
metadata: { name: credential, namespace: mesh }
data: { tls.crt: ${base64(pair.certificate)}, tls.key: ${base64(pair.privateKey)}, ca.crt: ${base64(pair.ca)} }
`;

const grant = (namespace: string): string => `---
apiVersion: gateway.networking.k8s.io/v1beta1
kind: ReferenceGrant
metadata: { name: grant, namespace: mesh }
spec: { from: [{ group: networking.istio.io, kind: DestinationRule, namespace: ${namespace} }], to: [{ group: '', kind: Secret, name: credential }] }
`;

function shows({ resources, wanted }: Translation): { readonly read: boolean; readonly key: boolean; readonly ca: boolean } {
  const holds = (pem: string): boolean => resources.some(({ bytes }) => Buffer.from(bytes).includes(pem.split('\n').at(-5) ?? ''));
  return { read: wanted.includes('mesh/credential'), key: holds(pair.certificate.toString()), ca: holds(pair.ca) };
}

test.each([
  ['MUTUAL', 'mesh', '', '', { read: true, key: true, ca: true }],
  ['SIMPLE', 'mesh', '', '', { read: true, key: false, ca: true }],
  ['DISABLE', 'mesh', '', '', { read: false, key: false, ca: false }],
  ['MUTUAL', 'demo', '', '', { read: false, key: false, ca: false }],
  ['MUTUAL', 'demo', 'exportTo: [.],', 'demo', { read: true, key: false, ca: false }],
  ['MUTUAL', 'demo', '', 'demo', { read: true, key: true, ca: true }],
  ['MUTUAL', 'demo', '', 'elsewhere', { read: false, key: false, ca: false }],
])('%s of a rule in %s, %s with a grant for %j', (mode, namespace, spec, granted, expected) => {
  expect(shows(translateYaml(world(mode, namespace, spec.replace('[.]', "['.']")) + (granted && grant(granted))))).toEqual(expected);
});

test('a grant for the Secret is none for the one beside it', () => {
  const beside = `---\napiVersion: v1\nkind: Secret\nmetadata: { name: credential-cacert, namespace: mesh }\ndata: { ca.crt: ${base64(pair.ca)} }\n`;
  const generic = world('MUTUAL', 'demo').replace(/, ca\.crt: \S+/, '') + beside + grant('demo');
  const translation = translateYaml(generic);
  expect(shows(translation)).toEqual({ read: true, key: true, ca: false });
  expect(translation.wanted).not.toContain('mesh/credential-cacert');
  expect(shows(translateYaml(generic.replace(', name: credential }] }', ' }] }'))).ca).toBe(true);
});

test('CAs may stand in a Secret of their own, and the generic keys are read as well', () => {
  const generic = world('MUTUAL', 'mesh')
    .replace(/tls\.crt: (\S+), tls\.key: (\S+), ca\.crt: \S+/, 'cert: $1, key: $2')
    .concat(
      `---\napiVersion: v1\nkind: Secret\nmetadata: { name: credential-cacert, namespace: mesh }\ndata: { cacert: ${base64(pair.ca)} }\n`,
    );
  const translation = translateYaml(generic);
  expect(shows(translation)).toEqual({ read: true, key: true, ca: true });
  expect(translation.wanted).toContain('mesh/credential-cacert');
});

test('a rule may name both a Secret and the one that has its CAs', () => {
  const both = world('MUTUAL', 'mesh').replace(
    'credentialName: credential }',
    'credentialName: credential }, portLevelSettings: [{ port: { number: 80 }, tls: { mode: SIMPLE, credentialName: credential-cacert } }]',
  );
  expect(translateYaml(both).wanted).toEqual(expect.arrayContaining(['mesh/credential', 'mesh/credential-cacert']));
});
