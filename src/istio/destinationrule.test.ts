import { describe, expect, test } from 'vitest';
import type { DestinationRule } from '../kube/types/istio-networking.ts';
import { type TrafficRule, parseDestinationRule, ruleFor, trafficOfPort } from './destinationrule.ts';

let age = 0;

function rule(namespace: string, name: string, spec: DestinationRule['spec']): TrafficRule {
  const creationTimestamp = `2026-01-01T00:00:${String(age++).padStart(2, '0')}Z`;
  const parsed = parseDestinationRule({
    apiVersion: 'networking.istio.io/v1',
    kind: 'DestinationRule',
    metadata: { namespace, name, creationTimestamp },
    spec,
  });
  if (!parsed) throw new Error('not read');
  return parsed;
}

const host = 'echo.server.svc.cluster.local';

function found(...rules: readonly TrafficRule[]): string | undefined {
  const place = { client: 'client', service: 'server', root: 'istio-system', host };
  return ruleFor(place, (namespace) => rules.filter((r) => r.ref.namespace === namespace))?.ref.name;
}

describe('the rule of a host', () => {
  const root = rule('istio-system', 'root', { host });
  const server = rule('server', 'server', { host: 'echo' });
  const client = rule('client', 'client', { host });

  test('is that of the waypoint, else of the service, else of the root namespace', () => {
    expect(found(root, server, client)).toBe('client');
    expect(found(root, server)).toBe('server');
    expect(found(root)).toBe('root');
    expect(found(rule('elsewhere', 'elsewhere', { host }))).toBeUndefined();
  });

  test('is seen by the namespaces that it is exported to', () => {
    expect(found(root, rule('server', 'private', { host, exportTo: ['.'] }))).toBe('root');
    expect(found(root, rule('server', 'to-client', { host, exportTo: ['client'] }))).toBe('to-client');
    expect(found(root, rule('client', 'own', { host, exportTo: ['.'] }))).toBe('own');
    expect(found(root, rule('client', 'others', { host, exportTo: ['server'] }))).toBe('root');
  });

  test('is the most specific one, of equals the oldest', () => {
    const wide = rule('client', 'wide', { host: '*.local' });
    const narrow = rule('client', 'narrow', { host: '*.server.svc.cluster.local' });
    expect(found(wide, narrow)).toBe('narrow');
    expect(found(wide, narrow, client)).toBe('client');
    expect(found(rule('client', 'later', { host }), client)).toBe('client');
    expect(found(rule('client', 'other', { host: '*.example.com' }))).toBeUndefined();
  });

  test('does not choose clients by their labels', () => {
    const parsed = parseDestinationRule({
      apiVersion: 'networking.istio.io/v1',
      kind: 'DestinationRule',
      metadata: { namespace: 'client', name: 'selecting' },
      spec: { host, workloadSelector: { matchLabels: { app: 'x' } } },
    });
    expect(parsed).toBeUndefined();
  });
});

describe('settings', () => {
  const of = (trafficPolicy: NonNullable<DestinationRule['spec']['trafficPolicy']>, port = 80) => {
    const { origin: _, ...traffic } = trafficOfPort(rule('a', 'a', { host, trafficPolicy }), port, 'api.example.com');
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
      { mode: 'SIMPLE' as const, credentialName: 'ca' },
      { mode: 'SIMPLE' as const, caCertificates: '/etc/ca.pem' },
    ]) {
      expect(of({ tls }).tls?.trust).toBe('nobody');
      expect(rule('a', 'a', { host, trafficPolicy: { tls } }).problems).toHaveLength(1);
    }
  });

  test('of outliers put the own zone first, unless that is switched off', () => {
    expect(of({ outlierDetection: {} })).toEqual({ outlierDetection: { minHealthPercent: 0 }, ownZoneFirst: true });
    const off = { outlierDetection: {}, loadBalancer: { localityLbSetting: { enabled: false } } };
    expect(of(off)).toEqual({ outlierDetection: { minHealthPercent: 0 } });
    const failover = { outlierDetection: {}, loadBalancer: { localityLbSetting: { failover: [{ from: 'a', to: 'b' }] } } };
    expect(rule('a', 'a', { host, trafficPolicy: failover }).problems.map((p) => p.field)).toEqual([
      'spec.trafficPolicy.loadBalancer.localityLbSetting.failover',
    ]);
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
