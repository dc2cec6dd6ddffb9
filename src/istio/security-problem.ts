/** What is wrong with a security policy: the field as a user writes it, and what to do. */
export interface SecurityProblem {
  readonly field: string;
  readonly message: string;
}
