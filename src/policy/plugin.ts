// How an object of a policy kind comes to hold for a route:
//   [TrafficPolicy, ...] -> parse -> [Policy] -> attachment: levels of a target -> merge -> [Effective] -> xds
//                              targets and problems + outcomes of the merges -> status.ancestors
// A further kind is a schema, a parse and, if several may hold at one place, a merge table; attachment, merging and status are the same for all.
import type { ObjectRef } from '../ir/object-ref.ts';
import { compareText } from '../ir/precedence.ts';
import { type KubeObject, keyOf } from '../kube/types/meta.ts';
import type { Problem } from './problem.ts';
import { kgatewayGroup } from './schema.ts';

/** What decides between policies of the same level. */
export interface Precedence {
  /** Annotation `kgateway.dev/policy-weight`: higher first; 0 without it. */
  readonly weight: number;
  /** RFC 3339: older first. */
  readonly created: string;
  /** `namespace/name`: the last resort. */
  readonly key: string;
}

/** What a policy is attached to: an entry of `targetRefs` or `targetSelectors`, in the namespace of the policy. */
export type PolicyTarget =
  | { readonly by: 'name'; readonly field: string; readonly ref: ObjectRef }
  | {
      readonly by: 'labels';
      readonly field: string;
      readonly group: string;
      readonly kind: string;
      readonly namespace: string;
      readonly matchLabels: Readonly<Record<string, string>>;
      readonly section?: string;
    };

/** A policy as its kind's `parse` reads it. */
export interface Policy<out Fields extends object> {
  readonly ref: ObjectRef;
  readonly generation: number;
  readonly precedence: Precedence;
  readonly targets: readonly PolicyTarget[];
  /** What the spec comes to; of a policy with problems, the part that could be read. */
  readonly fields: Fields;
  /** Not empty: the policy is not accepted, and what it is attached to must fail closed. */
  readonly problems: readonly Problem[];
}

/**
 * Joins the value of a more specific policy with that of a less specific one.
 * Undefined: the less specific one adds nothing and has lost the field.
 */
export type FieldMerge<T> = (higher: T, lower: T) => T | undefined;

/** A row for each field of the IR: a field without a row does not compile. */
export type FieldMerges<Fields extends object> = { readonly [F in keyof Fields]-?: FieldMerge<NonNullable<Fields[F]>> };

/** What its metadata says of a policy. */
export function policyMetadata(kind: string, object: KubeObject, weight = 0): Pick<Policy<object>, 'ref' | 'generation' | 'precedence'> {
  const { namespace = '', name, generation = 0, creationTimestamp: created = '' } = object.metadata;
  return {
    ref: { group: kgatewayGroup, kind, namespace, name },
    generation,
    precedence: { weight, created, key: keyOf(object) },
  };
}

/** Orders policies of one level: the first one wins. */
export function comparePrecedence(a: Precedence, b: Precedence): number {
  return b.weight - a.weight || compareText(a.created, b.created) || compareText(a.key, b.key);
}
