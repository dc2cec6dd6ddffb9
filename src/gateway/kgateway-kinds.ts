/**
 * What routes lead to and name besides the Gateway API, as collections.
 *
 *   Backends ────────> BackendViews ────┬─> rules of routes
 *   DirectResponses ─> DirectResponses ─┤
 *                                       └─> statuses
 */
import { type ObjectRef, refKey } from '../ir/object-ref.ts';
import type { StatusReport } from '../ir/report.ts';
import { type Collection, type Ctx, type Graph, join, map } from '../krt/index.ts';
import type { Secret } from '../kube/types/core.ts';
import type { Backend } from '../policy/backend/schema.ts';
import { parseDirectResponse } from '../policy/directresponse/directresponse.ts';
import type { DirectResponse } from '../policy/directresponse/schema.ts';
import { type PolicyAttachment, policyStatus } from '../policy/status.ts';
import { type BackendView, backendStatus, translateBackend } from './backend.ts';
import type { DirectResponses } from './direct-response.ts';

/** The sources. */
export interface KgatewayInputs {
  readonly backends: Collection<Backend>;
  readonly directResponses: Collection<DirectResponse>;
}

/** The objects as they were read, by `namespace/name`. */
export interface KgatewayKinds {
  readonly backends: Collection<BackendView>;
  readonly directResponses: DirectResponses;
}

/** Builds the collections. */
export function kgatewayKinds(g: Graph, inputs: KgatewayInputs & { readonly secrets: Collection<Secret> }): KgatewayKinds {
  return {
    backends: map(g, inputs.backends, { name: 'Backends' }, (ctx, backend) =>
      translateBackend(backend, (name) => ctx.fetchOne(inputs.secrets, `${backend.metadata.namespace}/${name}`)),
    ),
    directResponses: map(g, inputs.directResponses, { name: 'DirectResponses' }, (_ctx, response) => parseDirectResponse(response)),
  };
}

/** What became of an object elsewhere. */
export interface ObjectFacts {
  /** What proxies refused of it. */
  readonly rejected: (ctx: Ctx, ref: ObjectRef) => readonly string[];
  /** Where routes used it. */
  readonly outcomes: (ctx: Ctx, ref: ObjectRef) => readonly PolicyAttachment[];
}

/** Their statuses. */
export function kgatewayStatuses(g: Graph, kinds: KgatewayKinds, facts: ObjectFacts): Collection<StatusReport> {
  const key = (r: StatusReport): string => refKey(r.object);
  return join<StatusReport>(g, { name: 'KgatewayStatuses' }, [
    map(g, kinds.backends, { name: 'BackendStatuses', key }, (ctx, view) => backendStatus(view, facts.rejected(ctx, view.ref))),
    map(g, kinds.directResponses, { name: 'DirectResponseStatuses', key }, (ctx, response) =>
      policyStatus(response, facts.outcomes(ctx, response.ref), []),
    ),
  ]);
}
