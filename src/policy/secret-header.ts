/** Header values out of Secrets: [secretRef] -> [ReferenceGrant] -> [Secret] -> values that redact themselves. No message ever holds one. */
import type { HeaderValue } from '../ir/policy.ts';
import { SecretBytes } from '../ir/secret-bytes.ts';
import type { Secret } from '../kube/types/core.ts';
import { secretText } from '../kube/types/secret.ts';
import { isHeaderValue, maxHeaderValueLength } from '../ir/header-syntax.ts';
import type { Parsed, Problem } from './problem.ts';

/** The reference, as kgateway has it. */
export interface HeaderSecretRef {
  readonly name: string;
  /** Absent: the name of the header. */
  readonly key?: string;
  /** Absent: the namespace of the policy. */
  readonly namespace?: string;
}

/** Finds the Secret of a reference, or says why it cannot be read. */
export type SecretLookup = (ref: HeaderSecretRef) => Secret | string;

/** The headers of one entry: with neither a name nor a key there is one for each key of the Secret. */
export function secretHeaders(
  name: string | undefined,
  ref: HeaderSecretRef,
  lookup: SecretLookup,
  field: string,
): Parsed<readonly HeaderValue[]> {
  const found = lookup(ref);
  if (typeof found === 'string') return { problems: [{ field, message: found }] };
  const wanted = ref.key ?? name;
  const keys = wanted === undefined ? Object.keys(found.data ?? {}).sort() : [wanted];
  const problems: Problem[] = [];
  const value = keys.flatMap((key): HeaderValue[] => {
    // Files end with a line break.
    const text = secretText(found, key)?.replace(/\r?\n$/, '');
    const message = text === undefined ? `Secret ${ref.name} has no key ${JSON.stringify(key)}` : valueProblem(ref.name, key, text);
    if (message !== undefined) {
      problems.push({ field, message });
      return [];
    }
    // What is in a Secret is literal: Envoy must not read its own operators into it.
    return [{ name: name ?? key, value: new SecretBytes(Buffer.from((text ?? '').replaceAll('%', '%%'))) }];
  });
  return { value, problems };
}

function valueProblem(secret: string, key: string, text: string): string | undefined {
  const what = `the value of key ${JSON.stringify(key)} of Secret ${secret}`;
  if (text.length > maxHeaderValueLength) return `${what} has ${text.length} characters; at most ${maxHeaderValueLength} are allowed`;
  return isHeaderValue(text) ? undefined : `${what} is no header value; use printable ASCII with single spaces between words`;
}
