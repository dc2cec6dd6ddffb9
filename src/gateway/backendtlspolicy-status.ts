/**
 * Statuses of BackendTLSPolicies: one entry for each Gateway that reaches a target through routes.
 *
 *   [BackendTls] -> ports of its Services, its Backends -> [ClusterUse] -> Gateways
 */
import { type ObjectRef, refKey } from '../ir/object-ref.ts';
import { compareText } from '../ir/precedence.ts';
import type { EntriesReport, EntryReport } from '../ir/report.ts';
import { backendClusterName, serviceClusterName } from '../ir/names.ts';
import { type Collection, type Ctx, type Graph, type Index, map } from '../krt/index.ts';
import { maxAncestors } from '../policy/conditions.ts';
import { kgatewayGroup } from '../policy/schema.ts';
import { type BackendView, backendVariants } from './backend.ts';
import { type BackendTls, type BackendTlsPolicies, type BackendTlsTarget, policiesOf, targetKey } from './backendtlspolicy.ts';
import { backendTls as condition } from './conditions.ts';
import { gatewayRef } from './gateway.ts';
import type { ClusterUse } from './served-route.ts';
import type { ServiceView } from './views.ts';

export interface BackendTlsStatusInputs {
  readonly policies: BackendTlsPolicies;
  readonly services: Collection<ServiceView>;
  readonly backends: Collection<BackendView>;
  readonly uses: Collection<ClusterUse>;
  /** By name of the cluster. */
  readonly usesByCluster: Index<ClusterUse>;
}

/** A status for each policy. */
export function backendTlsStatuses(g: Graph, inputs: BackendTlsStatusInputs): Collection<EntriesReport> {
  return map(
    g,
    inputs.policies.collection,
    { name: 'BackendTLSPolicyStatuses', key: (r: EntriesReport) => refKey(r.object) },
    (ctx, policy): EntriesReport => {
      const targets = policy.targets.map((target) => ({ target, state: stateOf(ctx, inputs, policy, target) }));
      const entries = new Map<string, EntryReport>();
      for (const { target, state } of targets) {
        if (state.missing !== undefined) {
          const [namespace = '', name = ''] = target.key.split('/');
          const { kind } = target;
          const conditions = [condition.targetNotFound(state.missing), policy.resolvedRefs];
          entries.set(`service ${targetKey(target)}`, {
            ref: { group: kind === 'Backend' ? kgatewayGroup : '', kind, namespace, name },
            conditions,
          });
        }
        for (const gateway of state.gateways) {
          const known = entries.get(gateway);
          if (known && !state.winner) continue;
          const accepted = state.winner ? condition.conflicted(state.winner, targetKey(target)) : policy.accepted;
          entries.set(gateway, { ref: { ...gatewayRef(gateway) }, conditions: [accepted, policy.resolvedRefs] });
        }
      }
      const sorted = [...entries].sort(([a], [b]) => compareText(a, b)).map(([, e]) => e);
      return { form: 'ancestors', object: policy.ref, generation: policy.generation, entries: sorted.slice(0, maxAncestors) };
    },
  );
}

interface TargetState {
  /** Keys of the Gateways that reach it. */
  readonly gateways: readonly string[];
  /** The policy that has the target instead. */
  readonly winner?: ObjectRef;
  readonly missing?: string;
}

function stateOf(ctx: Ctx, inputs: BackendTlsStatusInputs, policy: BackendTls, target: BackendTlsTarget): TargetState {
  const clusters = target.kind === 'Backend' ? clustersOfBackend(ctx, inputs, target) : clustersOfService(ctx, inputs, target);
  if (typeof clusters === 'string') return { gateways: [], missing: clusters };
  const uses = clusters.flatMap((name) => ctx.fetch(inputs.uses, { index: inputs.usesByCluster, is: name }));
  const [first] = policiesOf(ctx, inputs.policies, target);
  return { gateways: [...new Set(uses.map((u) => u.scope))], ...(first && first.key !== policy.key && { winner: first.ref }) };
}

/** Names of the clusters of a target, or why it has none. */
function clustersOfService(ctx: Ctx, inputs: BackendTlsStatusInputs, { key, port }: BackendTlsTarget): readonly string[] | string {
  const service = ctx.fetchOne(inputs.services, key);
  if (!service) return `Service ${key} not found: the policy has no effect there`;
  const ports = service.ports.filter((p) => port === undefined || p.name === port);
  if (ports.length === 0) return `Service ${key} has no port named ${port}`;
  return ports.map((p) => serviceClusterName(service.namespace, service.name, p.port));
}

function clustersOfBackend(ctx: Ctx, inputs: BackendTlsStatusInputs, { key, port }: BackendTlsTarget): readonly string[] | string {
  const backend = ctx.fetchOne(inputs.backends, key);
  if (!backend) return `Backend ${key} not found: the policy has no effect there`;
  if (backend.traits?.discovery?.from === 'host') {
    return `Backend ${key} leads to whatever host requests name; a policy for one host has no effect there: use enableTls of the Backend`;
  }
  if (port !== undefined) return `Backend ${key} has no ports to tell apart; leave out sectionName ${port}`;
  return backendVariants.map((variant) => backendClusterName(backend.ref.namespace, backend.ref.name, variant));
}
