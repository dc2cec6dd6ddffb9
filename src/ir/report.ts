/**
 * What the user is told about an object. Computed always, written by the leader; errors of users are data, never exceptions.
 */
import type { ObjectRef } from './object-ref.ts';

export type ConditionStatus = 'True' | 'False' | 'Unknown';

/** A condition as a transform computes it: the writer adds observedGeneration and lastTransitionTime. */
export interface ConditionIntent {
  readonly type: string;
  readonly status: ConditionStatus;
  readonly reason: string;
  readonly message: string;
}

/** The whole status of an object that is ours alone, such as a Gateway of our class. */
export interface WholeReport {
  readonly form: 'whole';
  readonly object: ObjectRef;
  readonly generation: number;
  readonly conditions: readonly ConditionIntent[];
  /** Only for Gateways and ListenerSets. */
  readonly listeners?: readonly ListenerReport[];
  /** Further fields of the status, as they are. */
  readonly fields: Readonly<Record<string, unknown>>;
}

export interface ListenerReport {
  readonly name: string;
  readonly supportedKinds: readonly { readonly group: string; readonly kind: string }[];
  readonly attachedRoutes: number;
  readonly conditions: readonly ConditionIntent[];
}

/** Our entries in `status.parents` of a route or `status.ancestors` of a policy; entries of other controllers stay. */
export interface EntriesReport {
  readonly form: 'parents' | 'ancestors';
  readonly object: ObjectRef;
  readonly generation: number;
  readonly entries: readonly EntryReport[];
}

export interface EntryReport {
  /** The parentRef or ancestorRef, as the user wrote it. */
  readonly ref: Readonly<Record<string, unknown>>;
  readonly conditions: readonly ConditionIntent[];
}

/** Our conditions among those of others in `status.conditions`: the types in `owned`, exactly these. */
export interface ConditionsReport {
  readonly form: 'conditions';
  readonly object: ObjectRef;
  readonly generation: number;
  readonly owned: readonly string[];
  /** They are not there now, as somebody else has replaced the list: another reason to write them. */
  readonly missing?: boolean;
  readonly conditions: readonly ConditionIntent[];
}

/** Fields of the status of an object that has no conditions, such as an Ingress; others stay. */
export interface FieldsReport {
  readonly form: 'fields';
  readonly object: ObjectRef;
  readonly generation: number;
  readonly fields: Readonly<Record<string, unknown>>;
}

export type StatusReport = WholeReport | EntriesReport | ConditionsReport | FieldsReport;
