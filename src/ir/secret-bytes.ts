import { inspect } from 'node:util';

/**
 * Secret material that redacts itself wherever it is printed: JSON, logs, util.inspect, template strings.
 * Only the encoder of the resource that needs it calls `reveal`.
 */
export class SecretBytes {
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** The bytes themselves. */
  reveal(): Uint8Array {
    return this.#bytes;
  }

  /** True when both hold the same bytes. */
  equals(other: SecretBytes): boolean {
    return Buffer.from(this.#bytes).equals(Buffer.from(other.#bytes));
  }

  toJSON(): string {
    return '[redacted]';
  }

  toString(): string {
    return '[redacted]';
  }

  [inspect.custom](): string {
    return '[redacted]';
  }
}
