import { describe, expect, test } from 'vitest';
import type { TlsCredential } from '../ir/traffic.ts';
import type { DestinationRule } from '../kube/types/istio-networking.ts';
import { type TrafficRule, conflictOf, parseDestinationRule, ruleFor, trafficOfPort } from './destinationrule.ts';
import type { TlsBackend } from './traffic-tls.ts';

let age = 0;

const secrets: Readonly<Record<string, TlsCredential>> = {
  whole: { pair: { sds: 'sds' }, ca: { pem: 'pem' } },
  'no-ca': { pair: { sds: 'sds' }, ca: { problem: 'no CA' } },
  'no-pair': { pair: { problem: 'no pair' }, ca: { pem: 'pem' } },
};

function rule(namespace: string, name: string, spec: DestinationRule['spec']): TrafficRule {
  const creationTimestamp = `2026-01-01T00:00:${String(age++).padStart(2, '0')}Z`;
  const parsed = parseDestinationRule({
    apiVersion: 'networking.istio.io/v1',
    kind: 'DestinationRule',
    metadata: { namespace, name, creationTimestamp },
    spec,
  });
  return parsed;
}

const host = 'echo.server.svc.cluster.local';

const some = { trafficPolicy: {} } as const;

function found(...rules: readonly TrafficRule[]): string | undefined {
  return foundAt('client', ...rules);
}

function foundAt(client: string, ...rules: readonly TrafficRule[]): string | undefined {
  const place = { client, service: 'server', root: 'istio-system', host, visibleByDefault: ['*'] };
  return ruleFor(place, (namespace) => rules.filter((r) => r.ref.namespace === namespace))?.ref.name;
}

describe('the rule of a host', () => {
  const root = rule('istio-system', 'root', { host, ...some });
  const server = rule('server', 'server', { host: 'echo', ...some });
  const client = rule('client', 'client', { host, ...some });

  test('is that of the waypoint, else of the service, else of the root namespace', () => {
    expect(found(root, server, client)).toBe('client');
    expect(found(root, server)).toBe('server');
    expect(found(root)).toBe('root');
    expect(found(rule('elsewhere', 'elsewhere', { host, ...some }))).toBeUndefined();
  });

  test('is at a waypoint of the root namespace what is for that alone, else that of the service', () => {
    const own = rule('istio-system', 'own', { host, exportTo: ['.'], ...some });
    expect(foundAt('istio-system', root, server, own)).toBe('own');
    expect(foundAt('istio-system', root, server)).toBe('server');
    expect(foundAt('istio-system', root)).toBe('root');
  });

  test('is seen by the namespaces that it is exported to', () => {
    expect(found(root, rule('server', 'private', { host, exportTo: ['.'], ...some }))).toBe('root');
    expect(found(root, rule('server', 'to-client', { host, exportTo: ['client'], ...some }))).toBe('to-client');
    expect(found(root, rule('client', 'own', { host, exportTo: ['.'], ...some }))).toBe('own');
    expect(found(root, rule('client', 'others', { host, exportTo: ['server'], ...some }))).toBe('root');
  });

  test('is seen as MeshConfig says where the rule says nothing', () => {
    const place = { client: 'client', service: 'server', root: 'istio-system', host, visibleByDefault: ['.'] };
    const at = (r: TrafficRule) => ruleFor(place, (namespace) => (r.ref.namespace === namespace ? [r] : []))?.ref.name;
    expect(at(server)).toBeUndefined();
    expect(at(client)).toBe('client');
    expect(at(rule('server', 'for-all', { host, exportTo: ['*'], ...some }))).toBe('for-all');
  });

  test('is the most specific one, of equals the oldest', () => {
    const wide = rule('client', 'wide', { host: '*.local', ...some });
    const narrow = rule('client', 'narrow', { host: '*.server.svc.cluster.local', ...some });
    expect(found(wide, narrow)).toBe('narrow');
    expect(found(wide, narrow, client)).toBe('client');
    expect(found(rule('client', 'later', { host, ...some }), client)).toBe('client');
    expect(found(rule('client', 'other', { host: '*.example.com', ...some }))).toBeUndefined();
  });

  test('is the oldest with a trafficPolicy, and no other host or namespace stands in for one', () => {
    const subsets = rule('client', 'subsets', { host, subsets: [{ name: 'v1' }] });
    const later = rule('client', 'later', { host, ...some });
    const wide = rule('client', 'wide', { host: '*.local', ...some });
    expect(found(subsets, later, wide)).toBe('later');
    expect(found(subsets, wide, server, root)).toBeUndefined();
  });

  test('does not choose clients by their labels', () => {
    const selecting = rule('client', 'selecting', { host, workloadSelector: { matchLabels: { app: 'x' } }, ...some });
    expect(found(selecting, server)).toBe('server');
    expect(selecting.problems.map((p) => p.field)).toEqual(['spec.workloadSelector']);
  });

  test('leaves nothing to another one of the same host', () => {
    const later = rule('client', 'later', { host, ...some });
    const all = { visibleByDefault: ['*'] };
    expect(conflictOf(client, [client, later], all)).toBeUndefined();
    expect(conflictOf(later, [client, later], all)).toEqual({ winner: client.ref, everywhere: true });
    expect(conflictOf(later, [later, rule('client', 'x', { host: '*', ...some })], all)).toBeUndefined();
    const first = rule('client', 'first', { host, exportTo: ['a'], ...some });
    const second = rule('client', 'second', { host, exportTo: ['a', 'b'], ...some });
    const third = rule('client', 'third', { host, exportTo: ['b', 'c'], ...some });
    expect(conflictOf(second, [first, second], all)).toEqual({ winner: first.ref, everywhere: false });
    expect(conflictOf(third, [first, third], all)).toBeUndefined();
    expect(conflictOf(rule('client', 'fourth', { host, exportTo: ['a'], ...some }), [first], all)?.everywhere).toBe(true);
    expect(conflictOf(rule('client', 'last', { host }), [client], all)).toBeUndefined();
  });

  test('is told that its subsets have no effect', () => {
    const subsets = rule('client', 'subsets', { host, subsets: [{ name: 'v1', labels: { version: 'v1' } }], ...some });
    expect(subsets.problems.map((p) => p.field)).toEqual(['spec.subsets']);
    expect(found(subsets)).toBe('subsets');
  });
});

describe('settings', () => {
  const backend = {
    host: 'api.example.com',
    subjectAltNames: [],
    credential: (name: string): TlsCredential => secrets[name] ?? { pair: { problem: 'none' }, ca: { problem: 'none' } },
  };
  const of = (trafficPolicy: NonNullable<DestinationRule['spec']['trafficPolicy']>, port = 80, more: Partial<TlsBackend> = {}) => {
    const { origin: _, ...traffic } = trafficOfPort(rule('a', 'a', { host, trafficPolicy }), port, { ...backend, ...more });
    return traffic;
  };

  test('of a port stand for all others', () => {
    const policy = {
      loadBalancer: { simple: 'RANDOM' },
      connectionPool: { tcp: { maxConnections: 1 } },
      portLevelSettings: [{ port: { number: 81 }, loadBalancer: { simple: 'LEAST_REQUEST' } }],
    };
    expect(of(policy)).toEqual({ loadBalancing: 'random', limits: { connections: 1 } });
    expect(of(policy, 81)).toEqual({ loadBalancing: 'least-request' });
  });

  test('of times are those of Istio', () => {
    expect(of({ connectionPool: { tcp: { connectTimeout: '1m0.5s', tcpKeepalive: { time: '2h', interval: '75s', probes: 3 } } } })).toEqual(
      {
        limits: {},
        connectTimeoutMs: 60_500,
        keepalive: { timeSeconds: 7200, intervalSeconds: 75, probes: 3 },
      },
    );
  });

  test('of TLS name and verify the host unless they say otherwise', () => {
    expect(of({ tls: { mode: 'SIMPLE' } }).tls).toEqual({
      sni: 'api.example.com',
      trust: 'system',
      subjectAltNames: [{ type: 'dns', value: 'api.example.com' }],
    });
    expect(of({ tls: { mode: 'SIMPLE', sni: 'x.example.com', subjectAltNames: ['spiffe://a/b', 'c'] } }).tls).toEqual({
      sni: 'x.example.com',
      trust: 'system',
      subjectAltNames: [
        { type: 'uri', value: 'spiffe://a/b' },
        { type: 'dns', value: 'c' },
      ],
    });
    expect(of({ tls: { mode: 'SIMPLE', insecureSkipVerify: true } }).tls?.trust).toBe('anybody');
    expect(of({ tls: { mode: 'ISTIO_MUTUAL' } })).toEqual({});
    expect(of({ tls: { mode: 'DISABLE' } })).toEqual({});
  });

  test('that would weaken a connection when left out keep it from being made', () => {
    for (const tls of [
      { mode: 'MUTUAL' as const },
      { mode: 'MUTUAL' as const, clientCertificate: '/etc/c.pem', privateKey: '/etc/k.pem' },
      { mode: 'SIMPLE' as const, credentialName: 'configmap://a/b' },
      { mode: 'SIMPLE' as const, credentialName: 'whole', caCrl: '/etc/crl.pem' },
      { mode: 'SIMPLE' as const, caCrl: '/etc/crl.pem' },
      { mode: 'SIMPLE' as const, caCertificates: '/etc/ca.pem' },
    ]) {
      expect(of({ tls }).tls?.trust).toBe('nobody');
      expect(rule('a', 'a', { host, trafficPolicy: { tls } }).problems).toHaveLength(1);
    }
  });

  test('of a Secret verify by its CAs, and show its key pair where that is asked for', () => {
    expect(of({ tls: { mode: 'SIMPLE', credentialName: 'no-pair' } }).tls).toMatchObject({ trust: { pem: 'pem' } });
    expect(of({ tls: { mode: 'SIMPLE', credentialName: 'whole' } }).tls).not.toHaveProperty('clientCertificate');
    expect(of({ tls: { mode: 'MUTUAL', credentialName: 'whole' } }).tls).toMatchObject({ trust: { pem: 'pem' }, clientCertificate: 'sds' });
    expect(of({ tls: { mode: 'MUTUAL', credentialName: 'no-ca', insecureSkipVerify: true } }).tls).toMatchObject({
      trust: 'anybody',
      clientCertificate: 'sds',
    });
    for (const name of ['no-ca', 'no-pair', 'missing'])
      expect(of({ tls: { mode: 'MUTUAL', credentialName: name } }).tls?.trust).toBe('nobody');
    expect(of({ tls: { mode: 'MUTUAL', credentialName: 'no-pair', insecureSkipVerify: true } }).tls?.trust).toBe('nobody');
    expect(of({ tls: { mode: 'SIMPLE', caCertificates: 'system' } }).tls?.trust).toBe('system');
  });

  test('of names in the certificate come from the ServiceEntry where the rule has none', () => {
    const subjectAltNames = ['spiffe://a/b', '10.0.0.1', 'a@example.com', 'b.example.com'];
    expect(of({ tls: { mode: 'SIMPLE' } }, 80, { subjectAltNames }).tls?.subjectAltNames).toEqual([
      { type: 'uri', value: 'spiffe://a/b' },
      { type: 'ip', value: '10.0.0.1' },
      { type: 'email', value: 'a@example.com' },
      { type: 'dns', value: 'b.example.com' },
    ]);
    expect(of({ tls: { mode: 'SIMPLE', subjectAltNames: ['own'] } }, 80, { subjectAltNames }).tls?.subjectAltNames).toEqual([
      { type: 'dns', value: 'own' },
    ]);
  });

  test('of outliers put near endpoints first, unless that is switched off', () => {
    const near = { by: 'failover', regions: [], labels: [], byDefault: true };
    expect(of({ outlierDetection: {} })).toEqual({ outlierDetection: { minHealthPercent: 0 }, locality: near });
    const off = { outlierDetection: {}, loadBalancer: { localityLbSetting: { enabled: false } } };
    expect(of(off).locality).toEqual({ by: 'nothing' });
  });

  test('of localities: shares, else failover, which takes outlier detection', () => {
    const locality = (localityLbSetting: object, outlierDetection?: object) => {
      const trafficPolicy = { loadBalancer: { localityLbSetting }, ...(outlierDetection && { outlierDetection }) };
      const problems = rule('a', 'a', { host, trafficPolicy }).problems.map((p) => `${p.field.split('.').at(-1)} ${p.message}`);
      return [of(trafficPolicy).locality, problems];
    };
    const failover = [{ from: 'a', to: 'b' }];
    const shares = { by: 'shares', shares: [{ from: 'a/*', to: [{ place: 'b/c', weight: 80 }] }] };
    const distribute = [{ from: 'a/*', to: { 'b/c': 80, d: 0 } }];
    const byRegion = { by: 'failover', regions: failover, labels: ['x'], byDefault: false };
    expect(locality({ failover, failoverPriority: ['x'] }, {})).toEqual([byRegion, []]);
    expect(locality({ failover })).toEqual([{ by: 'nothing' }, ['failover has no effect without outlierDetection']]);
    expect(locality({ distribute })).toEqual([shares, []]);
    expect(locality({ distribute, failoverPriority: ['x'] }, {})).toEqual([shares, ['failoverPriority has no effect beside distribute']]);
  });

  test('that have no effect are named', () => {
    const trafficPolicy = { loadBalancer: { simple: 'PASSTHROUGH', warmup: {} }, proxyProtocol: { version: 'V2' } };
    expect(rule('a', 'a', { host, trafficPolicy }).problems.map((p) => p.field)).toEqual([
      'spec.trafficPolicy.proxyProtocol',
      'spec.trafficPolicy.loadBalancer.warmup',
      'spec.trafficPolicy.loadBalancer.simple',
    ]);
  });
});
