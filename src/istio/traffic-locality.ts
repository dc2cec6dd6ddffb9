/** [LocalityLoadBalancerSetting] -> LocalityPolicy. Source: Istio, DestinationRule; istiod's order of what holds. */
import type { LocalityPolicy } from '../ir/locality.ts';
import type { TrafficPolicySettings } from '../kube/types/istio-networking.ts';
import type { PolicyProblem } from './policy.ts';

type LocalitySetting = NonNullable<NonNullable<TrafficPolicySettings['loadBalancer']>['localityLbSetting']>;

/**
 * Undefined: the rule says nothing of it. Failover takes outlier detection, as nobody would notice otherwise that the nearest endpoints are not healthy;
 * outlier detection alone asks for failover by place.
 */
export function localityPolicy(setting: LocalitySetting | undefined, detects: boolean): LocalityPolicy | undefined {
  if (setting?.enabled === false) return { by: 'nothing' };
  if (setting?.distribute?.length) {
    return {
      by: 'shares',
      shares: setting.distribute.map(({ from = '*', to = {} }) => ({
        from,
        to: Object.entries(to).flatMap(([place, weight]) => (weight > 0 ? [{ place, weight }] : [])),
      })),
    };
  }
  if (!detects) return setting && { by: 'nothing' };
  return {
    by: 'failover',
    regions: (setting?.failover ?? []).flatMap(({ from, to }) => (from && to ? [{ from, to }] : [])),
    labels: setting?.failoverPriority ?? [],
    byDefault: setting === undefined,
  };
}

/** What of the setting has no effect. */
export function localityProblems(setting: LocalitySetting | undefined, detects: boolean, field: string): readonly PolicyProblem[] {
  if (!setting) return [];
  const { enabled, distribute } = setting;
  const isShared = enabled !== false && (distribute?.length ?? 0) > 0;
  const given = (['failover', 'failoverPriority'] as const).filter((name) => setting[name]?.length);
  const why = enabled === false ? undefined : isShared ? 'beside distribute' : detects ? undefined : 'without outlierDetection';
  return why === undefined ? [] : given.map((name) => ({ field: `${field}.${name}`, message: `has no effect ${why}` }));
}
