/** Values of Secrets. They are in `data` alone: the API server has moved `stringData` there, and so have folders of files. */
import type { Secret } from './core.ts';

/** The value of a key; undefined when the Secret has no such key. */
export function secretBytes({ data = {} }: Secret, key: string): Buffer | undefined {
  return Object.hasOwn(data, key) ? Buffer.from(data[key] ?? '', 'base64') : undefined;
}

/** The same as text. */
export function secretText(secret: Secret, key: string): string | undefined {
  return secretBytes(secret, key)?.toString();
}
