import { expect, test } from 'vitest';
import { hostScopeName, listenerName, serviceClusterName, serviceStatName } from './names.ts';
import { describeRef, refKey } from './object-ref.ts';

const route = { group: 'gateway.networking.k8s.io', kind: 'HTTPRoute', namespace: 'demo', name: 'echo' };

test('how messages name objects', () => {
  expect(describeRef(route)).toBe('HTTPRoute demo/echo');
  expect(describeRef({ ...route, section: 'first' })).toBe('HTTPRoute demo/echo#first');
  expect(describeRef({ ...route, kind: 'GatewayClass', namespace: '' })).toBe('GatewayClass echo');
});

test('keys tell objects and their sections apart', () => {
  const keys = [route, { ...route, section: 'a' }, { ...route, name: 'a' }, { ...route, namespace: '' }, { ...route, group: '' }].map(
    refKey,
  );
  expect(new Set(keys).size).toBe(keys.length);
});

test('names that others read', () => {
  expect(serviceClusterName('demo', 'echo', 80)).toBe('outbound|80||echo.demo.svc.cluster.local');
  expect(serviceStatName('demo', 'echo', 80)).toBe('kube_demo_echo_80');
  expect([listenerName(80), listenerName(53, 'udp')]).toEqual(['listener~80', 'listener~53~udp']);
  expect(hostScopeName('http-80', '*')).toBe('http-80:*');
});
