import { expect, test } from 'vitest';
import { compareMatches } from '../ir/precedence.ts';
import type { GRPCMethodMatch, GRPCRouteMatch } from '../kube/types/gateway-api.ts';
import { grpcMatch } from './grpcroute.ts';

const field = 'spec.rules[0].matches[0]';
const pathOf = (method: GRPCMethodMatch | undefined) => grpcMatch(method ? { method } : {}, field).match.path;

test.each<[string, GRPCMethodMatch | undefined, string]>([
  ['nothing', undefined, 'prefix /'],
  ['an empty method', {}, 'prefix /'],
  ['service and method', { service: 'a.B', method: 'Get' }, 'exact /a.B/Get'],
  ['a service', { service: 'a.B' }, 'prefix /a.B'],
  ['a method of any service', { method: 'Get' }, 'regex /[^/]+/Get'],
  ['regular expressions', { type: 'RegularExpression', service: 'a|b', method: 'Get.*' }, 'regex /(?:a|b)/(?:Get.*)'],
  ['a service by regular expression', { type: 'RegularExpression', service: 'a|b' }, 'regex /(?:a|b)/[^/]+'],
])('%s', (_what, method, expected) => {
  const path = pathOf(method);
  expect(`${path.type} ${path.value}`).toBe(expected);
});

test('a regular expression that Envoy would refuse, or that would leave its segment, is a problem of its field', () => {
  const problems = (method: GRPCMethodMatch) => grpcMatch({ method }, field).problems.map((p) => p.field);
  expect(problems({ type: 'RegularExpression', service: '(?=a)' })).toEqual([`${field}.method.service`]);
  expect(problems({ type: 'RegularExpression', service: 'a', method: 'a)|(b' })).toEqual([`${field}.method.method`]);
});

test('precedence: characters of the service, of the method, then headers', () => {
  const match = (m: GRPCRouteMatch) => grpcMatch(m, field).match;
  const inOrder = [
    match({ method: { type: 'RegularExpression', service: 'longest.*' } }),
    match({ method: { service: 'long', method: 'Get' }, headers: [{ name: 'a', value: 'b' }] }),
    match({ method: { service: 'long', method: 'Get' } }),
    match({ method: { service: 'long' } }),
    match({ method: { service: 'a', method: 'LongMethod' } }),
    match({ method: { method: 'LongestMethod' } }),
    match({ headers: [{ name: 'a', value: 'b' }] }),
    match({}),
  ];
  expect(inOrder.toReversed().sort(compareMatches)).toEqual(inOrder);
});
