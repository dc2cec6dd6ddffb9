/** What is wrong with a part of an object, for its status. The message says what to do. */
export interface Problem {
  /** Path of the field as a user writes it: `spec.retry.perTryTimeout`. */
  readonly field: string;
  readonly message: string;
}

/** Problems as the message of one condition: `field: message; field: message`. */
export function describeProblems(problems: readonly Problem[]): string {
  return problems.map((p) => `${p.field}: ${p.message}`).join('; ');
}

/** A value read from a field of the user; `value` is absent when the problems leave nothing to use. */
export interface Parsed<T> {
  readonly value?: T;
  readonly problems: readonly Problem[];
}
