import { expect, test } from 'vitest';
import type { AuthorizationPolicySpec } from '../kube/types/istio-security.ts';
import { describeFindings, preflight } from './preflight.ts';

const found = (spec: AuthorizationPolicySpec, namespace = 'demo') =>
  preflight({
    namespace: 'demo',
    rootNamespace: 'istio-system',
    authorizationPolicies: [{ apiVersion: 'security.istio.io/v1', kind: 'AuthorizationPolicy', metadata: { name: 'p', namespace }, spec }],
    requestAuthentications: [],
    virtualServices: [],
  }).map((f) => `${f.risk}: ${f.what}`);

const selector = { matchLabels: { app: 'echo' } };
const frontend = { from: [{ source: { principals: ['cluster.local/ns/web/sa/frontend'] } }] };
const admin = { to: [{ operation: { paths: ['/admin'] } }] };

test.each<[string, AuthorizationPolicySpec, readonly RegExp[]]>([
  ['clients of an ALLOW policy', { selector, rules: [{}, frontend] }, [/^traffic: rules\[1\] name clients.*refused$/]],
  [
    'clients of a DENY policy',
    { selector, action: 'DENY', rules: [frontend] },
    [/^security: rules\[0\] name clients.*not denied any more$/],
  ],
  ['when is about clients too', { selector, rules: [{ when: [{ key: 'source.namespace', values: ['a'] }] }] }, [/name clients/]],
  ['HTTP of an ALLOW policy', { selector, rules: [admin] }, [/^traffic: rules\[0\] need HTTP/]],
  ['HTTP of a DENY policy', { selector, action: 'DENY', rules: [admin] }, [/^security: rules\[0\] need HTTP/]],
  ['CUSTOM', { selector, action: 'CUSTOM', rules: [{}] }, [/^security: action CUSTOM is not done by ztunnel/]],
  ['nothing is allowed in the whole namespace', {}, [/^traffic: without a selector it also holds for the Pods of a waypoint/]],
  ['ports alone', { selector, rules: [{ to: [{ operation: { ports: ['80'] } }] }] }, []],
  ['a target of its own', { targetRefs: [{ kind: 'Service', name: 'echo' }], rules: [frontend, admin] }, []],
  [
    'waypoints of Istio',
    { targetRefs: [{ group: 'gateway.networking.k8s.io', kind: 'GatewayClass', name: 'istio-waypoint' }], rules: [{}] },
    [/^security: holds for waypoints of class istio-waypoint alone$/],
  ],
])('%s', (_name, spec, expected) => {
  const findings = found(spec);
  expect(findings).toHaveLength(expected.length);
  expected.forEach((pattern, i) => expect(findings[i]).toMatch(pattern));
});

test('policies of other namespaces are left out, those of the root namespace are not', () => {
  expect(found({ selector, rules: [frontend] }, 'other')).toEqual([]);
  expect(found({ selector, rules: [frontend] }, 'istio-system')).toHaveLength(1);
});

test('tokens and VirtualServices; what is printed says what to do', () => {
  const object = (kind: string) => ({ apiVersion: 'x/v1', kind, metadata: { name: 'x', namespace: 'demo' } });
  const findings = preflight({
    namespace: 'demo',
    rootNamespace: 'istio-system',
    authorizationPolicies: [],
    requestAuthentications: [{ ...object('RequestAuthentication'), spec: { selector } }],
    virtualServices: [object('VirtualService')],
  });
  expect(describeFindings('demo', findings)).toMatch(
    /^SECURITY {2}RequestAuthentication demo\/x\n.*\n {2}next: .*\n\nTRAFFIC {3}VirtualService demo\/x\n.*\n {2}next: .*HTTPRoute.*\n\nPeerAuthentication needs nothing/,
  );
  expect(describeFindings('demo', [])).toMatch(/^Nothing changes for the policies of namespace demo/);
});

test('what could not be read is not said to be without findings', () => {
  const text = describeFindings('demo', [], ['virtualservices.networking.istio.io']);
  expect(text).toMatch(/^NOT READ {2}virtualservices\.networking\.istio\.io\n.*forbidden.*\n {2}next: kubectl -n demo get virtualservices/);
  expect(text).not.toContain('Nothing changes');
});
