/**
 * Statuses of InferencePools, and which Pods they need.
 *
 *   [InferencePool] + [ServedRoute]* that lead there -> one entry for each Gateway; none: the entries of ours are taken back
 */
import { refKey } from '../ir/object-ref.ts';
import { compareText } from '../ir/precedence.ts';
import type { EntriesReport, EntryReport } from '../ir/report.ts';
import { type Collection, type Graph, type Index, map } from '../krt/index.ts';
import { inferencePool as condition } from './conditions.ts';
import { gatewayRef } from './gateway.ts';
import type { InferencePoolView } from './inferencepool.ts';
import type { PoolUse, ServedRoute } from './served-route.ts';

/** Routes at Gateways, and their index by the InferencePools that they lead to. */
export interface PoolRoutes {
  readonly served: Collection<ServedRoute>;
  readonly byPool: Index<ServedRoute>;
}

/** Most entries in one status (InferencePoolStatus.parents). */
const maxParents = 32;

/** A status for each pool. */
export function inferencePoolStatuses(g: Graph, pools: Collection<InferencePoolView>, routes: PoolRoutes): Collection<EntriesReport> {
  const key = (r: EntriesReport): string => refKey(r.object);
  return map(g, pools, { name: 'InferencePoolStatuses', key }, (ctx, pool): EntriesReport => {
    const uses = ctx.fetch(routes.served, { index: routes.byPool, is: pool.key }).flatMap((s) => s.pools ?? []);
    const byGateway = new Map<string, PoolUse>();
    for (const use of uses) {
      if (use.pool === pool.key && !byGateway.get(use.gateway)?.accepted) byGateway.set(use.gateway, use);
    }
    const entries = [...byGateway.values()].toSorted((a, b) => compareText(a.gateway, b.gateway)).map((use) => entryOf(pool, use));
    return { form: 'parents', object: pool.ref, generation: pool.generation, entries: entries.slice(0, maxParents) };
  });
}

function entryOf({ picker }: InferencePoolView, { gateway, accepted, unsupported }: PoolUse): EntryReport {
  const acceptance =
    picker.state === 'absent'
      ? condition.pickerMissing
      : unsupported
        ? condition.notSupported
        : accepted
          ? condition.accepted
          : condition.routeNotAccepted;
  return {
    ref: { ...gatewayRef(gateway) },
    conditions: [acceptance, picker.state === 'invalid' ? condition.invalidPicker(picker.message) : condition.resolvedRefs],
  };
}

/** Pods that somebody needs to know of. */
export interface WantedPods {
  /** Namespace and selector: pools that select the same Pods share them. */
  readonly key: string;
  readonly namespace: string;
  readonly labelSelector: string;
}

/** The Pods of the pools that routes at Gateways of ours lead to. */
export function wantedPods(g: Graph, pools: Collection<InferencePoolView>, routes: PoolRoutes): Collection<WantedPods> {
  return map(g, pools, { name: 'WantedPods' }, (ctx, pool): WantedPods | undefined => {
    const used = ctx.fetch(routes.served, { index: routes.byPool, is: pool.key });
    if (used.length === 0) return undefined;
    const labels = Object.entries(pool.matchLabels).toSorted(([a], [b]) => compareText(a, b));
    const labelSelector = labels.map(([name, value]) => `${name}=${value}`).join(',');
    const { namespace } = pool.ref;
    return { key: `${namespace}?${labelSelector}`, namespace, labelSelector };
  });
}
