import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { refKey } from '../ir/object-ref.ts';
import type { AuthorizationPolicySpec } from '../kube/types/istio-security.ts';
import { authorizationStatus } from './authorization-status.ts';
import { type ParsedAuthorization, authorizationOf, parseAuthorization } from './authorization.ts';
import { defaultMesh, parseMesh } from './mesh.ts';
import { type PolicyPlace, targetKeysOf } from './policy-target.ts';
import { parseCidr, pathTemplateOf, textMatch } from './text-match.ts';
import { principalsWithAliases } from './trust-domain.ts';

const gatewayApi = 'gateway.networking.k8s.io';
const place: PolicyPlace = {
  gateway: { namespace: 'demo', name: 'wp' },
  gatewayClass: 'kgateway-waypoint',
  services: [{ namespace: 'demo', name: 'echo' }],
};

function parse(name: string, spec: AuthorizationPolicySpec, more: { namespace?: string; created?: string; dryRun?: boolean } = {}) {
  const { namespace = 'demo', created = '2026-01-01T00:00:00Z', dryRun = false } = more;
  const annotations = dryRun ? { 'istio.io/dry-run': 'true' } : {};
  const metadata = { name, namespace, creationTimestamp: created, annotations };
  return parseAuthorization({ apiVersion: 'security.istio.io/v1', kind: 'AuthorizationPolicy', metadata, spec }, defaultMesh, undefined);
}

function parsed(...args: Parameters<typeof parse>): ParsedAuthorization {
  const policy = parse(...args);
  if (!policy) throw new Error('the policy holds nowhere');
  return policy;
}

const holdsAt = (policy: ParsedAuthorization | undefined, at: PolicyPlace): boolean => {
  const keys = targetKeysOf(at);
  return policy?.targets.some((t) => keys.includes(refKey(t))) ?? false;
};

describe('where a policy holds', () => {
  const service = { kind: 'Service', name: 'echo' };
  const gateway = { group: gatewayApi, kind: 'Gateway', name: 'wp' };
  const ofClass = { group: gatewayApi, kind: 'GatewayClass', name: 'kgateway-waypoint' };
  const root = defaultMesh.rootNamespace;

  test.each<[string, AuthorizationPolicySpec, string, boolean]>([
    ['a Service', { targetRefs: [service] }, 'demo', true],
    ['a Service of group core', { targetRefs: [{ ...service, group: 'core' }] }, 'demo', true],
    ['one of several', { targetRefs: [{ ...service, name: 'x' }, service] }, 'demo', true],
    ['the deprecated targetRef', { targetRef: service }, 'demo', true],
    ['targetRefs over targetRef', { targetRef: service, targetRefs: [{ ...service, name: 'x' }] }, 'demo', false],
    ['a Service of another namespace', { targetRefs: [service] }, 'other', false],
    ['the namespace of a reference that is another one', { targetRefs: [{ ...service, namespace: 'demo' }] }, 'other', false],
    ['a Gateway', { targetRefs: [gateway] }, 'demo', true],
    ['a Gateway of another namespace', { targetRefs: [gateway] }, root, false],
    ['a class, from the root namespace', { targetRefs: [ofClass] }, root, true],
    ['a class, from elsewhere', { targetRefs: [ofClass] }, 'demo', false],
    ['another class', { targetRefs: [{ ...ofClass, name: 'istio-waypoint' }] }, root, false],
    ['a kind that nobody knows', { targetRefs: [{ kind: 'Pod', name: 'echo' }] }, 'demo', false],
    [
      'a ServiceEntry of the same name',
      { targetRefs: [{ group: 'networking.istio.io', kind: 'ServiceEntry', name: 'echo' }] },
      'demo',
      false,
    ],
    ['a selector', { selector: { matchLabels: { app: 'echo' } } }, 'demo', false],
    ['nothing at all', {}, root, false],
  ])('%s', (_name, spec, namespace, holds) => {
    expect(holdsAt(parse('p', spec, { namespace }), place)).toBe(holds);
  });

  test('a waypoint in the root namespace', () => {
    const here: PolicyPlace = { ...place, gateway: { namespace: root, name: 'wp' } };
    expect(holdsAt(parse('p', { targetRefs: [ofClass] }, { namespace: root }), here)).toBe(true);
    expect(holdsAt(parse('p', { targetRefs: [gateway] }, { namespace: root }), here)).toBe(true);
  });
});

const targetRefs = [{ kind: 'Service', name: 'echo' }];
const rules = [{ from: [{ source: { namespaces: ['web'] } }] }];

test('names are those that istioctl looks for, in the order of age', () => {
  const policies = [
    parsed('b', { targetRefs, rules: [{}, {}] }),
    parsed('c', { targetRefs, rules, action: 'DENY' }),
    parsed('a', { targetRefs, rules }),
  ];
  const all = authorizationOf([...policies, ...policies], 'filter-state');
  expect(all?.allow.enforced?.map((r) => r.name)).toEqual([
    'ns[demo]-policy[a]-rule[0]',
    'ns[demo]-policy[b]-rule[0]',
    'ns[demo]-policy[b]-rule[1]',
  ]);
  expect(all?.deny.enforced?.map((r) => r.name)).toEqual(['ns[demo]-policy[c]-rule[0]']);
});

test('a dry run is told apart from what is enforced', () => {
  const all = authorizationOf([parsed('a', { targetRefs, rules }, { dryRun: true })], 'filter-state');
  expect(all?.allow.enforced).toBeUndefined();
  expect(all?.allow.dryRun).toHaveLength(1);
});

describe('what cannot be read', () => {
  test.each<[AuthorizationPolicySpec, string]>([
    [{ rules: [{ when: [{ key: 'no.such', values: ['x'] }] }] }, 'spec.rules[0].when[0].key'],
    [{ rules: [{ when: [{ key: 'source.ip' }] }] }, 'spec.rules[0].when[0]'],
    [{ rules: [{ from: [] }] }, 'spec.rules[0].from'],
    [{ rules: [{ from: [{ source: {} }] }] }, 'spec.rules[0].from[0].source'],
    [{ rules: [{ from: [{}] }] }, 'spec.rules[0].from[0].source'],
    [{ rules: [{ from: [{ source: { principals: [''] } }] }] }, 'spec.rules[0].from[0].source.principals[0]'],
    [{ rules: [{ from: [{ source: { ipBlocks: ['10.0.0.0/33'] } }] }] }, 'spec.rules[0].from[0].source.ipBlocks[0]'],
    [{ rules: [{ from: [{ source: { notServiceAccounts: ['a/b/c'] } }] }] }, 'spec.rules[0].from[0].source.notServiceAccounts[0]'],
    [{ rules: [{ from: [{ source: { namespaces: ['a'], later: ['x'] } as object }] }] }, 'spec.rules[0].from[0].source.later'],
    [{ rules: [{ to: [{ operation: { ports: ['http'] } }] }] }, 'spec.rules[0].to[0].operation.ports[0]'],
    [{ rules: [{ to: [{ operation: { paths: ['/{*}.txt'] } }] }] }, 'spec.rules[0].to[0].operation.paths[0]'],
    [{ action: 'CUSTOM', provider: { name: 'x' }, rules: [{}] }, 'spec.action'],
    [{ action: 'NONE' as 'ALLOW', rules: [{}] }, 'spec.action'],
  ])('%j', (spec, field) => {
    const policy = parsed('p', { ...spec, targetRefs });
    expect(policy.problems.map((p) => p.field)).toEqual([field]);
    const all = authorizationOf([policy, parsed('open', { targetRefs, rules: [{}] })], 'filter-state');
    expect(all?.deny.enforced).toEqual([{ name: 'ns[demo]-policy[p]-rule[0]-deny-due-to-invalid-policy', from: [], to: [], when: [] }]);
    const [condition] = authorizationStatus(policy, policy.targets).conditions;
    expect(condition).toMatchObject({ status: 'False', reason: 'Invalid' });
    expect(condition?.message).toContain(`everything is denied to Service demo/echo: ${field}: `);
  });

  test('keeps nobody out where the policy would not', () => {
    const broken = { targetRefs, rules: [{ when: [{ key: 'no.such', values: ['x'] }] }] };
    const policies = [parsed('a', { ...broken, action: 'AUDIT' }), parsed('b', broken, { dryRun: true })];
    expect(authorizationOf(policies, 'filter-state')).toMatchObject({ audit: {}, deny: {}, allow: {} });
  });

  test('of a policy that concerns nothing of ours, nothing is said', () => {
    expect(authorizationStatus(parsed('a', { targetRefs, rules }), []).conditions).toEqual([]);
  });
});

test.each([
  ['cluster.local/ns/a/sa/b', ['new/ns/a/sa/b', 'old/ns/a/sa/b']],
  ['new/ns/a/sa/b', ['new/ns/a/sa/b', 'old/ns/a/sa/b']],
  ['old/ns/a/sa/b', ['old/ns/a/sa/b', 'new/ns/a/sa/b']],
  ['*ld/ns/a/sa/b', ['*ld/ns/a/sa/b', 'new/ns/a/sa/b']],
  ['*/ns/a/sa/b', ['*/ns/a/sa/b']],
  ['other/ns/a/sa/b', ['other/ns/a/sa/b']],
  ['*', ['*']],
])('%s under its other names', (principal, all) => {
  expect(principalsWithAliases(principal, { trustDomain: 'new', trustDomainAliases: ['old'] })).toEqual(all);
});

test('a text and its match have the meaning that Istio gives them', () => {
  const meaning = (pattern: string, text: string): boolean => {
    if (pattern === '*') return text !== '';
    if (pattern.startsWith('*')) return text.endsWith(pattern.slice(1));
    return pattern.endsWith('*') ? text.startsWith(pattern.slice(0, -1)) : text === pattern;
  };
  const letters = fc.string({ unit: fc.constantFrom('a', 'b', '*'), maxLength: 4 });
  fc.assert(
    fc.property(letters, letters, (pattern, text) => {
      const match = textMatch(pattern);
      const matches = {
        present: () => text !== '',
        exact: (v: string) => text === v,
        prefix: (v: string) => text.startsWith(v),
        suffix: (v: string) => text.endsWith(v),
      }[match.type];
      expect(matches('value' in match ? match.value : '')).toBe(meaning(pattern, text));
    }),
  );
});

test.each([
  ['10.0.0.1', 32],
  ['10.0.0.0/8', 8],
  ['::1', 128],
  ['fd00::/64', 64],
  ['1.2', undefined],
  ['010.0.0.1', undefined],
  ['10.0.0.1/', undefined],
  ['10.0.0.1/33', undefined],
  ['fe80::1%eth0', undefined],
  ['x', undefined],
])('range %s', (text, bits) => {
  expect(parseCidr(text)?.bits).toBe(bits);
});

test.each([
  ['/a', 'plain'],
  ['/a*', 'plain'],
  ['/{name}', 'plain'],
  ['/foo/{*}', 'template'],
  ['/foo/{**}/', 'template'],
  ['/{*}/x/{**}/y', 'template'],
  ['/*/baz/{*}', 'invalid'],
  ['/**/baz/{*}', 'invalid'],
  ['/{**}/foo/{*}', 'invalid'],
  ['/foo/{*}.txt', 'invalid'],
  ['/a//{*}', 'invalid'],
  ['/ä/{*}', 'invalid'],
  ['{*}', 'invalid'],
])('path %s', (path, kind) => {
  expect(pathTemplateOf(path)).toBe(kind);
});

test('MeshConfig, with defaults', () => {
  expect(parseMesh('trustDomain: td')).toEqual({ ...defaultMesh, trustDomain: 'td' });
  expect(parseMesh('rootNamespace: [')).toBeUndefined();
  expect(parseMesh('text')).toBeUndefined();
});
