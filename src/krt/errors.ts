/** A rule of krt is broken by the code that uses it. With assertions on it always leaves `flush()`, whatever catches errors on the way. */
export class KrtAssertionError extends Error {
  override readonly name = 'KrtAssertionError';

  constructor(message: string) {
    super(`krt: ${message}`);
  }
}
