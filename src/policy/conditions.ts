// Every condition of a policy: types, reasons and messages. Those of kgateway are byte for byte as tools look for them.

export interface ConditionText {
  readonly type: 'Accepted' | 'Attached';
  readonly status: 'True' | 'False';
  readonly reason: string;
  /** Absent: the message depends on the case. */
  readonly message?: string;
}

/** One row for each thing that the status of a policy can say. `TargetNotFound` is of GEP-713; kgateway writes nothing in that case. */
export const policyConditions = {
  accepted: { type: 'Accepted', status: 'True', reason: 'Valid', message: 'Policy accepted' },
  invalid: { type: 'Accepted', status: 'False', reason: 'Invalid' },
  targetNotFound: { type: 'Accepted', status: 'False', reason: 'TargetNotFound' },
  attached: { type: 'Attached', status: 'True', reason: 'Attached', message: 'Attached to all targets' },
  merged: { type: 'Attached', status: 'True', reason: 'Merged', message: 'Merged with other policies in target(s) and attached' },
  overridden: {
    type: 'Attached',
    status: 'False',
    reason: 'Overridden',
    message: 'Overridden due to conflict with higher priority policy in target(s)',
  },
  pending: { type: 'Attached', status: 'False', reason: 'Pending', message: '' },
} as const satisfies Record<string, ConditionText>;

/** Longest message of a condition (metav1.Condition). */
export const maxMessageLength = 32_768;

/** Most ancestors in one status (Gateway API: PolicyStatus). */
export const maxAncestors = 16;
