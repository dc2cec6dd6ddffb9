/**
 * TLS to backends.
 *
 *   [BackendTLSPolicy] -> [ConfigMap, Secret with ca.crt] -> BackendTls, by target: Service, or one port of it, or Backend
 *        └─> the first one of a target wins: port before Service, then older, then by name -> Cluster.tls
 */
import type { Cluster, UpstreamTls } from '../ir/backend.ts';
import { clusterNameVariant } from '../ir/names.ts';
import type { ObjectRef } from '../ir/object-ref.ts';
import { compareOrder } from '../ir/precedence.ts';
import type { ConditionIntent } from '../ir/report.ts';
import type { RouteOrder } from '../ir/route.ts';
import type { Collection, Ctx, Index } from '../krt/index.ts';
import type { BackendTLSPolicy, LocalPolicyTargetReferenceWithSectionName } from '../kube/types/gateway-api.ts';
import { keyOf } from '../kube/types/meta.ts';
import { kgatewayGroup } from '../policy/schema.ts';
import { type CaInputs, type CaProblem, resolveCaBundle } from './ca-certificate.ts';
import { backendTls as condition, gatewayGroup } from './conditions.ts';

/** A BackendTLSPolicy as it was read. */
export interface BackendTls {
  readonly key: string;
  readonly ref: ObjectRef;
  readonly generation: number;
  readonly order: RouteOrder;
  readonly targets: readonly BackendTlsTarget[];
  readonly tls: UpstreamTls;
  /** The conditions `Accepted` and `ResolvedRefs`, unless another policy has the target. */
  readonly accepted: ConditionIntent;
  readonly resolvedRefs: ConditionIntent;
}

export interface BackendTlsTarget {
  readonly kind: 'Service' | 'Backend';
  /** `namespace/name`. */
  readonly key: string;
  /** Name of a port; absent: all ports that have no policy of their own. */
  readonly port?: string;
}

/** Policies, and their index by target. */
export interface BackendTlsPolicies {
  readonly collection: Collection<BackendTls>;
  readonly byTarget: Index<BackendTls>;
}

/** Index key of a target. */
export function targetKey({ kind, key, port }: BackendTlsTarget): string {
  const object = kind === 'Service' ? key : `${kind} ${key}`;
  return port === undefined ? object : `${object}/${port}`;
}

/** Reads a policy. One without a usable CA is kept: its backends must not be reached without TLS, nor unverified. */
export function translateBackendTls(ctx: Ctx, inputs: CaInputs, policy: BackendTLSPolicy): BackendTls {
  const namespace = policy.metadata.namespace ?? '';
  const { validation } = policy.spec;
  const from = { group: gatewayGroup, kind: 'BackendTLSPolicy', namespace };
  const ca = resolveCaBundle(ctx, inputs, from, validation.caCertificateRefs ?? [], 'spec.validation.caCertificateRefs');
  const system = validation.wellKnownCACertificates === 'System';
  const unknown = validation.wellKnownCACertificates !== undefined && !system;
  const trust: UpstreamTls['trust'] = system ? 'system' : ca.pem === '' ? 'nobody' : { pem: ca.pem };
  const names = validation.subjectAltNames ?? [];
  return {
    key: keyOf(policy),
    ref: { group: gatewayGroup, kind: 'BackendTLSPolicy', namespace, name: policy.metadata.name },
    generation: policy.metadata.generation ?? 0,
    order: { created: policy.metadata.creationTimestamp ?? '', key: keyOf(policy) },
    targets: policy.spec.targetRefs.flatMap((ref) => targetOf(namespace, ref) ?? []),
    tls: {
      sni: validation.hostname,
      trust,
      subjectAltNames:
        names.length === 0
          ? [{ type: 'dns', value: validation.hostname }]
          : names.map((n) => (n.type === 'URI' ? { type: 'uri', value: n.uri ?? '' } : { type: 'dns', value: n.hostname ?? '' })),
    },
    accepted: unknown
      ? condition.unsupportedCertificates(validation.wellKnownCACertificates ?? '')
      : trust === 'nobody'
        ? condition.noValidCa(messagesOf(ca.problems))
        : condition.accepted,
    resolvedRefs: resolvedRefs(ca.problems),
  };
}

function messagesOf(problems: readonly CaProblem[]): string {
  return problems.map((p) => p.message).join('; ');
}

function resolvedRefs(problems: readonly CaProblem[]): ConditionIntent {
  const [first] = problems;
  if (!first) return condition.resolvedRefs;
  return first.reason === 'kind' ? condition.invalidKind(messagesOf(problems)) : condition.invalidCaRef(messagesOf(problems));
}

function targetOf(namespace: string, ref: LocalPolicyTargetReferenceWithSectionName): BackendTlsTarget | undefined {
  const kind =
    ref.group === '' && ref.kind === 'Service' ? 'Service' : ref.group === kgatewayGroup && ref.kind === 'Backend' ? 'Backend' : undefined;
  return kind && { kind, key: `${namespace}/${ref.name}`, ...(ref.sectionName !== undefined && { port: ref.sectionName }) };
}

/** The policies of exactly this target, the winner first. */
export function policiesOf(ctx: Ctx, policies: BackendTlsPolicies, target: BackendTlsTarget): readonly BackendTls[] {
  return ctx
    .fetch(policies.collection, { index: policies.byTarget, is: targetKey(target) })
    .toSorted((a, b) => compareOrder(a.order, b.order));
}

/** The cluster with the TLS that a policy asks for. Source: Gateway API, BackendTLSPolicy. */
export function withBackendTls(ctx: Ctx, policies: BackendTlsPolicies, cluster: Cluster): Cluster {
  if (cluster.passthrough) return cluster;
  const winner = winnerOf(ctx, policies, cluster);
  return winner ? { ...cluster, tls: winner.tls } : cluster;
}

/**
 * The cluster for connections whose TLS goes through to the backend: another one only where a policy makes the proxy speak TLS itself, as the backend
 * would get TLS within TLS (Gateway API: with TLSModeType Passthrough the session is between client and backend).
 */
export function passthroughCluster(ctx: Ctx, policies: BackendTlsPolicies, cluster: Cluster): Cluster {
  if (!winnerOf(ctx, policies, cluster)) return cluster;
  const { name, statName } = cluster;
  return { ...cluster, name: clusterNameVariant(name, 'passthrough'), statName: `${statName}_passthrough`, passthrough: true };
}

function winnerOf(ctx: Ctx, policies: BackendTlsPolicies, cluster: Cluster): BackendTls | undefined {
  const { origin, discovery, portName: port } = cluster;
  // The names are those of requests.
  if (discovery?.from === 'host') return undefined;
  const target =
    origin.kind === 'Backend'
      ? ({ kind: 'Backend', key: `${origin.namespace}/${origin.name}` } as const)
      : ({ kind: 'Service', key: cluster.service } as const);
  return (port === '' ? undefined : policiesOf(ctx, policies, { ...target, port })[0]) ?? policiesOf(ctx, policies, target)[0];
}
