/**
 * No object of one namespace reads a Secret, ConfigMap, Service or any other backend of another one without a grant: every reference field of
 * every kind that we serve, as the CRDs have them. A field that is new there has no row here, and fails.
 */
import { beforeAll, describe, expect, test } from 'vitest';
import type { OpenApiSchema } from '../kube/crd-validation.ts';
import { type Translation, translateYaml } from './golden.ts';
import { servedCrds } from './local.ts';
import { type XdsCertificate, createCertificate } from './xds-certificate.ts';

const group = { gateway: 'gateway.networking.k8s.io', legacy: 'gateway.networking.x-k8s.io', kgateway: 'gateway.kgateway.dev' } as const;

/** Kinds that references may lead to, all called `other/target`. */
const targets = {
  Service: { group: '', fields: `group: '', kind: Service, port: 80` },
  Backend: { group: group.kgateway, fields: `group: ${group.kgateway}, kind: Backend` },
  InferencePool: { group: 'inference.networking.k8s.io', fields: 'group: inference.networking.k8s.io, kind: InferencePool' },
  Secret: { group: '', fields: `group: '', kind: Secret` },
  ConfigMap: { group: '', fields: `group: '', kind: ConfigMap` },
} as const;
type Target = keyof typeof targets;

/** What the reference `ref` stands in, in YAML; all in namespace `default`. */
interface CrossNamespace {
  readonly how: 'by grant' | 'not served';
  readonly from: { readonly group: string; readonly kind: string };
  readonly to: readonly Target[];
  readonly yaml: (ref: string) => string;
}
/** Fields that read nothing of another namespace, with the reason. `same namespace` is checked: the schema has no field `namespace`. */
interface Exempt {
  readonly how: 'same namespace' | 'attachment' | 'administrator' | 'grant';
}

const route = (kind: string, rule: string, section = 'http'): string => `---
apiVersion: ${group.gateway}/v1
kind: ${kind}
metadata: { name: referrer }
spec: { parentRefs: [{ name: gw, sectionName: ${section} }], rules: [${rule}] }
`;
const l7 = ['Service', 'Backend', 'InferencePool'] as const;
const from = (kind: string): CrossNamespace['from'] => ({ group: group.gateway, kind });
const routeField = (kind: string, to: readonly Target[], rule: (ref: string) => string, section?: string): CrossNamespace => ({
  how: 'by grant',
  from: from(kind),
  to,
  yaml: (ref) => route(kind, rule(ref), section),
});
const localBackend = '{ name: local, port: 80 }';
const mirrorOfBackend = (ref: string): string =>
  `{ backendRefs: [{ name: local, port: 80, filters: [{ type: RequestMirror, requestMirror: { backendRef: ${ref} } }] }] }`;
const mirror = (ref: string): string =>
  `{ backendRefs: [${localBackend}], filters: [{ type: RequestMirror, requestMirror: { backendRef: ${ref} } }] }`;

const gatewayWith = (listeners: string, more = ''): string => `---
apiVersion: ${group.gateway}/v1
kind: Gateway
metadata: { name: referrer }
spec: { gatewayClassName: kgateway, listeners: [${listeners}]${more} }
`;
const https = `{ name: https, protocol: HTTPS, port: 443, hostname: a.example.com, tls: { certificateRefs: [{ name: own }] } }`;
const ofGateway = (to: readonly Target[], yaml: CrossNamespace['yaml']): CrossNamespace => ({
  how: 'by grant',
  from: from('Gateway'),
  to,
  yaml,
});
const listenerSet = (kind: string, apiVersion: string): CrossNamespace => ({
  how: 'by grant',
  from: { group: apiVersion.split('/')[0] ?? '', kind },
  to: ['Secret'],
  yaml: (ref) => `${gatewayWith(https, ', allowedListeners: { namespaces: { from: All } }')}---
apiVersion: ${apiVersion}
kind: ${kind}
metadata: { name: referrer }
spec:
  parentRef: { name: referrer }
  listeners: [{ name: set, protocol: HTTPS, port: 444, hostname: b.example.com, tls: { certificateRefs: [${ref}] } }]
`,
});
const sameNamespace: Exempt = { how: 'same namespace' };
/** Where something applies, as the other side allows (`allowedRoutes`, `allowedListeners`); nothing is read there. */
const attachment: Exempt = { how: 'attachment' };
const notServed = (kind: string, rule: (ref: string) => string): CrossNamespace => ({
  ...routeField(kind, ['Service'], rule),
  how: 'not served',
});

/** The reference has no kind, and a key. */
const headerSecret = (path: string): CrossNamespace => {
  const [direction = '', list = ''] = path.split('.');
  return {
    how: 'by grant',
    from: { group: group.kgateway, kind: 'TrafficPolicy' },
    to: ['Secret'],
    yaml: () => `---
apiVersion: ${group.kgateway}/v1alpha1
kind: TrafficPolicy
metadata: { name: referrer }
spec:
  targetRefs: [{ group: ${group.gateway}, kind: HTTPRoute, name: referrer }]
  headerModifiers: { ${direction}: { ${list}: [{ name: x-token, secretRef: { name: target, namespace: other, key: token } }] } }
${route('HTTPRoute', `{ backendRefs: [${localBackend}] }`)}`,
  };
};

const rows: Readonly<Record<string, CrossNamespace | Exempt>> = {
  'HTTPRoute spec.rules[].backendRefs[]': routeField('HTTPRoute', l7, (ref) => `{ backendRefs: [${ref}] }`),
  'HTTPRoute spec.rules[].filters[].requestMirror.backendRef': routeField('HTTPRoute', ['Service', 'Backend'], mirror),
  'HTTPRoute spec.rules[].backendRefs[].filters[].requestMirror.backendRef': routeField(
    'HTTPRoute',
    ['Service', 'Backend'],
    mirrorOfBackend,
  ),
  'HTTPRoute spec.rules[].filters[].externalAuth.backendRef': routeField(
    'HTTPRoute',
    ['Service', 'Backend'],
    (ref) =>
      `{ backendRefs: [${localBackend}], filters: [{ type: ExternalAuth, externalAuth: { protocol: HTTP, http: {}, backendRef: ${ref} } }] }`,
  ),
  'HTTPRoute spec.rules[].backendRefs[].filters[].externalAuth.backendRef': notServed(
    'HTTPRoute',
    (ref) =>
      `{ backendRefs: [{ name: local, port: 80, filters: [{ type: ExternalAuth, externalAuth: { protocol: HTTP, http: {}, backendRef: ${ref} } }] }] }`,
  ),
  'HTTPRoute spec.rules[].filters[].extensionRef': sameNamespace,
  'HTTPRoute spec.rules[].backendRefs[].filters[].extensionRef': sameNamespace,
  'HTTPRoute spec.parentRefs[]': attachment,
  'GRPCRoute spec.rules[].backendRefs[]': routeField('GRPCRoute', l7, (ref) => `{ backendRefs: [${ref}] }`),
  'GRPCRoute spec.rules[].filters[].requestMirror.backendRef': routeField('GRPCRoute', ['Service', 'Backend'], mirror),
  'GRPCRoute spec.rules[].backendRefs[].filters[].requestMirror.backendRef': routeField(
    'GRPCRoute',
    ['Service', 'Backend'],
    mirrorOfBackend,
  ),
  'GRPCRoute spec.rules[].filters[].extensionRef': sameNamespace,
  'GRPCRoute spec.rules[].backendRefs[].filters[].extensionRef': sameNamespace,
  'GRPCRoute spec.parentRefs[]': attachment,
  'TLSRoute spec.rules[].backendRefs[]': {
    how: 'by grant',
    from: from('TLSRoute'),
    to: ['Service', 'Backend'],
    yaml: (ref) => route('TLSRoute', `{ backendRefs: [${ref}] }`, 'tls').replace('rules:', 'hostnames: [a.example.com], rules:'),
  },
  'TLSRoute spec.parentRefs[]': attachment,
  'TCPRoute spec.rules[].backendRefs[]': routeField('TCPRoute', ['Service', 'Backend'], (ref) => `{ backendRefs: [${ref}] }`, 'tcp'),
  'TCPRoute spec.parentRefs[]': attachment,
  'UDPRoute spec.rules[].backendRefs[]': routeField('UDPRoute', ['Service'], (ref) => `{ backendRefs: [${ref}] }`, 'udp'),
  'UDPRoute spec.parentRefs[]': attachment,
  'Gateway spec.listeners[].tls.certificateRefs[]': ofGateway(['Secret'], (ref) => gatewayWith(https.replace('{ name: own }', ref))),
  'Gateway spec.tls.backend.clientCertificateRef': ofGateway(['Secret'], (ref) =>
    gatewayWith(https, `, tls: { backend: { clientCertificateRef: ${ref} } }`),
  ),
  'Gateway spec.tls.frontend.default.validation.caCertificateRefs[]': ofGateway(['ConfigMap', 'Secret'], (ref) =>
    gatewayWith(https, `, tls: { frontend: { default: { validation: { caCertificateRefs: [${ref}] } } } }`),
  ),
  'Gateway spec.tls.frontend.perPort[].tls.validation.caCertificateRefs[]': ofGateway(['ConfigMap', 'Secret'], (ref) =>
    gatewayWith(
      https,
      `, tls: { frontend: { default: {}, perPort: [{ port: 443, tls: { validation: { caCertificateRefs: [${ref}] } } }] } }`,
    ),
  ),
  'Gateway spec.infrastructure.parametersRef': sameNamespace,
  // A GatewayClass is of the cluster: whoever may write one decides for all namespaces.
  'GatewayClass spec.parametersRef': { how: 'administrator' },
  'ListenerSet spec.listeners[].tls.certificateRefs[]': listenerSet('ListenerSet', `${group.gateway}/v1`),
  'ListenerSet spec.parentRef': attachment,
  'XListenerSet spec.listeners[].tls.certificateRefs[]': listenerSet('XListenerSet', `${group.legacy}/v1alpha1`),
  'XListenerSet spec.parentRef': attachment,
  'BackendTLSPolicy spec.validation.caCertificateRefs[]': sameNamespace,
  'BackendTLSPolicy spec.targetRefs[]': sameNamespace,
  'ReferenceGrant spec.to[]': { how: 'grant' },
  'InferencePool spec.endpointPickerRef': sameNamespace,
  'TrafficPolicy spec.targetRefs[]': sameNamespace,
  'Backend spec.aws.auth.secretRef': sameNamespace,
  'TrafficPolicy spec.headerModifiers.request.set[].secretRef': headerSecret('request.set'),
  'TrafficPolicy spec.headerModifiers.request.add[].secretRef': headerSecret('request.add'),
  'TrafficPolicy spec.headerModifiers.response.set[].secretRef': headerSecret('response.set'),
  'TrafficPolicy spec.headerModifiers.response.add[].secretRef': headerSecret('response.add'),
};

/** Fields of a schema that name another object: a name with a group, kind or namespace beside it, or in a field called a reference. */
function referenceFields(schema: OpenApiSchema | undefined, path: string): readonly (readonly [string, OpenApiSchema])[] {
  if (schema?.items) return referenceFields(schema.items, `${path}[]`);
  const fields = schema?.properties ?? {};
  const isReference = 'name' in fields && ('kind' in fields || 'group' in fields || 'namespace' in fields || /Refs?(?:\[\])?$/.test(path));
  const below = Object.entries(fields).flatMap(([name, s]) => referenceFields(s, `${path}.${name}`));
  return isReference && schema ? [[path, schema], ...below] : below;
}

const schemaFields: ReadonlyMap<string, OpenApiSchema> = new Map(
  servedCrds().flatMap((crd) =>
    crd.spec.versions.flatMap((version) => {
      const schema: OpenApiSchema | undefined = version.schema?.openAPIV3Schema;
      return referenceFields(schema?.properties?.['spec'], 'spec').map(
        ([path, found]) => [`${crd.spec.names.kind} ${path}`, found] as const,
      );
    }),
  ),
);

const address = '203.0.113.77';
const token = 'token-of-the-other-namespace';
let own: XdsCertificate;
let secret: XdsCertificate;
beforeAll(async () => {
  own = await createCertificate(['a.example.com'], Date.now());
  secret = await createCertificate(['secret.example.com'], Date.now());
});

const keyPair = (name: string, namespace: string, pair: XdsCertificate): string => `---
apiVersion: v1
kind: Secret
type: kubernetes.io/tls
metadata: { name: ${name}, namespace: ${namespace} }
data:
  tls.crt: ${Buffer.from(pair.certificate).toString('base64')}
  tls.key: ${Buffer.from(pair.privateKey).toString('base64')}
  ca.crt: ${Buffer.from(pair.ca).toString('base64')}
  token: ${Buffer.from(name === 'target' ? token : 'own').toString('base64')}
`;

const world = (): string => `---
apiVersion: ${group.gateway}/v1
kind: GatewayClass
metadata: { name: kgateway }
spec: { controllerName: kgateway.dev/kgateway }
---
apiVersion: ${group.gateway}/v1
kind: Gateway
metadata: { name: gw }
spec:
  gatewayClassName: kgateway
  listeners:
    - { name: http, protocol: HTTP, port: 80 }
    - { name: tcp, protocol: TCP, port: 81 }
    - { name: udp, protocol: UDP, port: 82 }
    - { name: tls, protocol: TLS, port: 83, tls: { mode: Passthrough } }
---
apiVersion: v1
kind: Service
metadata: { name: local }
spec: { ports: [{ name: http, port: 80 }] }
---
apiVersion: v1
kind: Service
metadata: { name: target, namespace: other }
spec: { ports: [{ name: http, port: 80 }, { name: udp, port: 80, protocol: UDP }] }
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: target, namespace: other, labels: { kubernetes.io/service-name: target } }
addressType: IPv4
endpoints: [{ addresses: [${address}] }]
ports: [{ name: http, port: 8080 }, { name: udp, port: 8081, protocol: UDP }]
---
apiVersion: ${group.kgateway}/v1alpha1
kind: Backend
metadata: { name: target, namespace: other }
spec: { static: { hosts: [{ host: ${address}, port: 8080 }] } }
---
apiVersion: inference.networking.k8s.io/v1
kind: InferencePool
metadata: { name: target, namespace: other }
spec: { selector: { matchLabels: { app: target } }, targetPorts: [{ number: 8080 }], endpointPickerRef: { name: target, port: { number: 80 } } }
---
apiVersion: v1
kind: Pod
metadata: { name: target, namespace: other, labels: { app: target } }
spec: { containers: [{ name: model }] }
status: { phase: Running, podIPs: [{ ip: ${address} }], conditions: [{ type: Ready, status: 'True' }] }
---
apiVersion: v1
kind: ConfigMap
metadata: { name: target, namespace: other }
data: { ca.crt: ${JSON.stringify(secret.ca)} }
${keyPair('own', 'default', own)}${keyPair('target', 'other', secret)}`;

/** A ReferenceGrant of `other`; of `name`, or everything. */
const grant = (from: CrossNamespace['from'], to: Target, more = '', namespace = 'default'): string => `---
apiVersion: ${group.gateway}/v1beta1
kind: ReferenceGrant
metadata: { name: grant, namespace: other }
spec:
  from: [{ group: ${from.group}, kind: ${from.kind}, namespace: ${namespace} }]
  to: [{ group: '${targets[to].group}', kind: ${to}${more} }]
`;

/** Lines that are in the target and nowhere else. */
function markers(): readonly string[] {
  const line = (pem: string): string => pem.split('\n').at(-5) ?? '';
  return [address, token, line(secret.certificate.toString()), line(secret.ca)];
}

function shows({ resources, wanted }: Translation): { readonly read: boolean; readonly sent: boolean } {
  const sent = resources.some(({ bytes }) => markers().some((marker) => Buffer.from(bytes).includes(marker)));
  return { read: wanted.includes('other/target'), sent };
}

const crossNamespace = Object.entries(rows).flatMap(([field, row]) => ('to' in row ? row.to.map((to) => [field, to, row] as const) : []));

describe('reference fields', () => {
  test('each one of a CRD has a row, and each row is one of a CRD', () => {
    expect([...schemaFields.keys()].sort()).toEqual(Object.keys(rows).sort());
  });

  test.each(Object.entries(rows).filter(([, row]) => row.how === 'same namespace'))('%s cannot name a namespace', (field) => {
    expect(Object.keys(schemaFields.get(field)?.properties ?? {})).not.toContain('namespace');
  });

  test.each(crossNamespace)('%s to a %s of another namespace', (_field, to, row) => {
    const yaml = row.yaml(`{ ${targets[to].fields}, name: target, namespace: other }`);
    const isFile = to === 'Secret' || to === 'ConfigMap';
    const refused = translateYaml(world() + yaml);
    expect(shows(refused), 'without a grant').toEqual({ read: false, sent: false });
    if (row.how === 'by grant') expect(JSON.stringify(refused.statuses)).toMatch(/RefNotPermitted|not permitted/);

    for (const [what, wrong] of [
      ['to another name', grant(row.from, to, ', name: another')],
      ['to another kind', grant(row.from, to === 'Secret' ? 'ConfigMap' : 'Secret')],
      ['from another kind', grant({ group: group.gateway, kind: 'Thing' }, to)],
      ['from another namespace', grant(row.from, to, '', 'another')],
    ] as const) {
      expect(shows(translateYaml(world() + yaml + wrong)), `with a grant ${what}`).toEqual({ read: false, sent: false });
    }

    const allowed = shows(translateYaml(world() + yaml + grant(row.from, to)));
    expect(allowed, 'with a grant').toEqual(row.how === 'by grant' ? { read: isFile, sent: true } : { read: false, sent: false });
  });

  // Istio's CRDs are not here to be walked.
  test.each([
    ['AuthorizationPolicy', 'rules: [{}], action: DENY'],
    ['RequestAuthentication', `jwtRules: [{ issuer: other, jwks: '{"keys":[]}' }]`],
  ])('%s spec.targetRefs[] changes nothing in another namespace, with a grant neither', (kind, spec) => {
    const bytes = (yaml: string) => translateYaml(yaml).resources.map((r) => `${r.name} ${r.version}`);
    const objects = world() + route('HTTPRoute', `{ backendRefs: [${localBackend}] }`);
    const policy = (namespace: string, more = '') => `---
apiVersion: security.istio.io/v1
kind: ${kind}
metadata: { name: referrer, namespace: ${namespace} }
spec: { targetRefs: [{ group: ${group.gateway}, kind: Gateway, name: gw${more} }], ${spec} }
---
apiVersion: ${group.gateway}/v1beta1
kind: ReferenceGrant
metadata: { name: grant }
spec: { from: [{ group: security.istio.io, kind: ${kind}, namespace: other }], to: [{ group: ${group.gateway}, kind: Gateway }] }
`;
    expect(bytes(objects + policy('default'))).not.toEqual(bytes(objects));
    expect(bytes(objects + policy('other', ', namespace: default'))).toEqual(bytes(objects));
    expect(bytes(objects + policy('other'))).toEqual(bytes(objects));
  });
});
