/**
 * Endpoints of InferencePools: [Pod]* that a pool selects -> one endpoint a Pod and target port.
 *
 * A Pod that is not ready, or about to end, is none: its picker does not choose it either.
 */
import type { Endpoint, Endpoints } from '../ir/backend.ts';
import { compareText } from '../ir/precedence.ts';
import { type Collection, type Graph, map } from '../krt/index.ts';
import type { Pod } from '../kube/types/core.ts';
import { keyOf } from '../kube/types/meta.ts';
import type { InferencePoolView } from './inferencepool.ts';

/** What pools need of a Pod that takes requests. */
interface ReadyPod {
  readonly key: string;
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly address: string;
}

/** The endpoints of all pools, by name of their cluster. */
export function poolEndpoints(g: Graph, pools: Collection<InferencePoolView>, pods: Collection<Pod>): Collection<Endpoints> {
  const ready = map(g, pods, { name: 'ReadyPods' }, (_ctx, pod) => readyPod(pod));
  const byNamespace = ready.index('namespace', (p) => [p.namespace]);
  return map(g, pools, { name: 'PoolEndpoints', key: (e: Endpoints) => e.cluster }, (ctx, pool): Endpoints => {
    const wanted = Object.entries(pool.matchLabels);
    const selected = ctx.fetch(ready, {
      index: byNamespace,
      is: pool.ref.namespace,
      where: (p) => wanted.every(([name, value]) => p.labels[name] === value),
    });
    const endpoints = selected.flatMap(({ address }) => pool.ports.map((port): Endpoint => ({ address, port })));
    return {
      cluster: pool.cluster.name,
      endpoints: endpoints.toSorted((a, b) => compareText(a.address, b.address) || a.port - b.port),
    };
  });
}

function readyPod(pod: Pod): ReadyPod | undefined {
  const { namespace = '', labels = {}, deletionTimestamp } = pod.metadata;
  const { podIPs = [], podIP = podIPs[0]?.ip, conditions = [] } = pod.status ?? {};
  if (podIP === undefined || deletionTimestamp !== undefined) return undefined;
  if (!conditions.some((c) => c.type === 'Ready' && c.status === 'True')) return undefined;
  return { key: keyOf(pod), namespace, labels, address: podIP };
}
