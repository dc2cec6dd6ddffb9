/**
 * InferencePools as collections; the relation of their parts is drawn in inferencepool.ts.
 *
 *   InferencePool ─> InferencePools ─┬─> a kind of backends for routes
 *   Pod ─> ReadyPods ────────────────┼─> PoolEndpoints
 *   ServedRoutes ────────────────────┴─> InferencePoolStatuses, WantedPods
 */
import type { Endpoints } from '../ir/backend.ts';
import type { EntriesReport } from '../ir/report.ts';
import { type Collection, type Graph, join } from '../krt/index.ts';
import type { Pod } from '../kube/types/core.ts';
import type { InferencePool } from '../kube/types/inference.ts';
import type { BackendKind } from './backendref.ts';
import { inferencePoolBackends, inferencePools } from './inferencepool.ts';
import { type WantedPods, inferencePoolStatuses, wantedPods } from './inferencepool-status.ts';
import { poolEndpoints } from './pool-endpoints.ts';
import type { ServedRoute } from './served-route.ts';
import type { ServiceView } from './views.ts';

/** What is watched for InferencePools. */
export interface InferenceInputs {
  readonly inferencePools: Collection<InferencePool>;
  /** Those of `WantedPods`, and possibly more. */
  readonly pods: Collection<Pod>;
}

export interface Inference {
  readonly backends: BackendKind;
  readonly endpoints: Collection<Endpoints>;
  /** What comes of it once it is known which routes serve where. */
  readonly reported: (served: Collection<ServedRoute>) => InferenceReports;
}

export interface InferenceReports {
  readonly poolReports: Collection<EntriesReport>;
  readonly wantedPods: Collection<WantedPods>;
}

/** Builds the collections. Without inputs InferencePools are switched off, and references to them say so. */
export function inferenceCollections(g: Graph, inputs: InferenceInputs | undefined, services: Collection<ServiceView>): Inference {
  if (!inputs) {
    return {
      backends: inferencePoolBackends(undefined),
      endpoints: join(g, { name: 'PoolEndpoints' }, []),
      reported: () => ({
        poolReports: join(g, { name: 'InferencePoolStatuses' }, []),
        wantedPods: join(g, { name: 'WantedPods' }, []),
      }),
    };
  }
  const pools = inferencePools(g, inputs.inferencePools, services);
  return {
    backends: inferencePoolBackends(pools),
    endpoints: poolEndpoints(g, pools, inputs.pods),
    reported: (served) => {
      const routes = { served, byPool: served.index('pool', (s) => [...new Set((s.pools ?? []).map((p) => p.pool))]) };
      return { poolReports: inferencePoolStatuses(g, pools, routes), wantedPods: wantedPods(g, pools, routes) };
    },
  };
}
