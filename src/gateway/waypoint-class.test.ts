import { expect, test } from 'vitest';
import type { Gateway, GatewayClass } from '../kube/types/gateway-api.ts';
import {
  entranceProblem,
  inboundBindingAnnotation,
  isWaypointClass,
  tunnelPort,
  waypointEntrance,
  waypointProblem,
} from './waypoint-class.ts';

const classOf = (name: string, binding?: string): GatewayClass => ({
  apiVersion: 'gateway.networking.k8s.io/v1',
  kind: 'GatewayClass',
  metadata: { name, ...(binding !== undefined && { annotations: { [inboundBindingAnnotation]: binding } }) },
  spec: { controllerName: 'kgateway.dev/kgateway' },
});
const gatewayOf = (metadata: Partial<Gateway['metadata']>): Gateway => ({
  apiVersion: 'gateway.networking.k8s.io/v1',
  kind: 'Gateway',
  metadata: { name: 'wp', namespace: 'demo', ...metadata },
  spec: { gatewayClassName: 'w', listeners: [] },
});

test.each([
  ['kgateway-waypoint', undefined, true],
  ['kgateway-waypoint-hbone', undefined, true],
  ['own', 'PROXY/15088', true],
  ['own', 'PROXY', true],
  ['own', 'NONE', false],
  ['own', undefined, false],
])('class %s with %s', (name, binding, expected) => {
  expect(isWaypointClass(classOf(name, binding))).toBe(expected);
});

test.each([
  [undefined, undefined, 15_088],
  ['PROXY/15099', undefined, 15_099],
  ['PROXY/15099', 'PROXY/15100', 15_100],
  ['PROXY', undefined, 15_088],
  ['PROXY/0', undefined, 15_088],
  ['PROXY/70000', undefined, 15_088],
])('binding %s of the class and %s of the Gateway: port %d', (ofClass, own, port) => {
  const annotations = own === undefined ? {} : { [inboundBindingAnnotation]: own };
  expect(tunnelPort(gatewayOf({ annotations }), classOf('w', ofClass))).toBe(port);
});

test.each([
  ['kgateway-waypoint', 'PROXY', 15_088, undefined],
  ['kgateway-waypoint', 'HBONE', 15_008, undefined],
  ['kgateway-waypoint', 'HBONE', 15_088, /use port 15008/],
  ['kgateway-waypoint', 'PROXY', 15_008, /use port 15088/],
  ['kgateway-waypoint-hbone', 'HBONE', 15_008, undefined],
  ['kgateway-waypoint-hbone', 'HBONE', 80, /use port 15008/],
])('a waypoint of class %s with a listener of %s on %d', (name, protocol, port, problem) => {
  const entrance = waypointEntrance(gatewayOf({}), classOf(name, name === 'kgateway-waypoint' ? 'PROXY/15088' : undefined));
  const found = entranceProblem({ protocol, port }, entrance);
  if (problem) expect(found).toMatch(problem);
  else expect(found).toBeUndefined();
});

test.each([
  [{}, undefined],
  [{ name: 'a'.repeat(63) }, undefined],
  [{ name: 'a'.repeat(64) }, /at most 63/],
  [{ name: 'a.b' }, /at most 63/],
  [{ name: '1a' }, /a letter in front/],
  [{ labels: { 'istio.io/waypoint-for': 'service' } }, undefined],
  [{ labels: { 'istio.io/waypoint-for': 'none' } }, undefined],
  [{ labels: { 'istio.io/waypoint-for': 'workload' } }, undefined],
  [{ labels: { 'istio.io/waypoint-for': 'all' } }, undefined],
])('a Gateway with %j', (metadata, problem) => {
  const found = waypointProblem(gatewayOf(metadata), true);
  if (problem) expect(found).toMatch(problem);
  else expect(found).toBeUndefined();
});

test('nothing is a waypoint while waypoints are not enabled', () => {
  expect(waypointProblem(gatewayOf({}), false)).toMatch(/waypoint.enabled/);
});

test.each([
  ['service', false],
  ['workload', true],
  ['all', true],
  ['none', false],
])('a waypoint for %s serves workloads: %s', (type, workloads) => {
  const gateway = gatewayOf({ labels: { 'istio.io/waypoint-for': type } });
  expect(waypointEntrance(gateway, classOf('kgateway-waypoint')).workloads).toBe(workloads);
});
