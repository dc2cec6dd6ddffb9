import type { RoutePolicies } from '../ir/policy.ts';
import type { Policy, PolicyTarget } from './plugin.ts';

/** A policy for tests, in namespace `demo`. */
export function testPolicy(
  name: string,
  fields: RoutePolicies = {},
  more: { weight?: number; created?: string; targets?: readonly PolicyTarget[]; problems?: Policy<RoutePolicies>['problems'] } = {},
): Policy<RoutePolicies> {
  return {
    ref: { group: 'gateway.kgateway.dev', kind: 'TrafficPolicy', namespace: 'demo', name },
    generation: 3,
    precedence: { weight: more.weight ?? 0, created: more.created ?? '2026-01-01T00:00:00Z', key: `demo/${name}` },
    targets: more.targets ?? [],
    fields,
    problems: more.problems ?? [],
  };
}
