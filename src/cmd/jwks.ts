/**
 * Key sets of token issuers: fetched, kept, fetched again.
 *
 *   [locations that RequestAuthentications name] -> fetch over https -> Source<Jwks>
 *
 * A set that was fetched once stays when a later attempt fails: keys outlive the outage of their server.
 */
import { usableKeySet } from '../istio/jwks.ts';
import { type Jwks, jwksLocation } from '../istio/requestauthentication.ts';
import type { Collection, Source } from '../krt/index.ts';
import type { Logger } from './log.ts';

export interface JwksFetchOptions {
  readonly log: Logger;
  /** Milliseconds between two fetches of one set. Istio's 20 minutes. */
  readonly refreshMs?: number;
  /** First wait after a failure; doubled each time up to the refresh. */
  readonly retryMs?: number;
  /** For tests: what fetches. */
  readonly fetch?: typeof fetch;
}

export interface JwksFetcher {
  /** Resolves when every key set that is wanted now has been asked for once: a proxy that was told before would refuse its tokens. */
  settled(): Promise<void>;
  stop(): void;
}

interface Attempt {
  /** When the set is fetched again. */
  next?: NodeJS.Timeout;
}

const maxBytes = 1 << 20;
const timeoutMs = 10_000;

/** Keeps `target` filled with the key sets of `wanted`. */
export function fetchJwks(wanted: Collection<{ readonly key: string }>, target: Source<Jwks>, o: JwksFetchOptions): JwksFetcher {
  const { refreshMs = 20 * 60_000, retryMs = 1000, log } = o;
  const get = o.fetch ?? fetch;
  /** The latest attempt of each key that is wanted. */
  const latest = new Map<string, Attempt>();
  const pending = new Set<Promise<void>>();

  const run = async (key: string, failures: number, attempt: Attempt): Promise<void> => {
    let next = refreshMs;
    let found: Jwks;
    try {
      found = { key, document: await keySet(get, key) };
    } catch (error) {
      const problem = `keys of ${jwksLocation(key).uri} cannot be fetched: ${reason(error)}`;
      const known = target.get(key)?.document;
      found = { key, problem, ...(known !== undefined && { document: known }) };
      next = Math.min(refreshMs, retryMs * 2 ** failures);
      log.warn({ jwks: jwksLocation(key).uri, err: error, retryMs: next }, 'a key set cannot be fetched; the last one stays');
    }
    // Nobody wants it any more, or it is wanted again and another attempt is under way.
    if (latest.get(key) !== attempt) return;
    target.set(found);
    attempt.next = setTimeout(() => start(key, found.problem === undefined ? 0 : failures + 1), next).unref();
  };
  const start = (key: string, failures: number): void => {
    const attempt: Attempt = {};
    latest.set(key, attempt);
    const done = run(key, failures, attempt).finally(() => pending.delete(done));
    pending.add(done);
  };
  const forget = (key: string): void => {
    clearTimeout(latest.get(key)?.next);
    latest.delete(key);
  };
  const subscription = wanted.subscribe(
    (events) => {
      for (const event of events) {
        if (event.type === 'add') start(event.key, 0);
        if (event.type === 'delete') {
          forget(event.key);
          target.delete(event.key);
        }
      }
    },
    { initial: true },
  );
  return {
    settled: async () => {
      while (pending.size > 0) await Promise.all(pending);
    },
    stop: () => {
      subscription[Symbol.dispose]();
      for (const key of latest.keys()) forget(key);
    },
  };
}

async function keySet(get: typeof fetch, key: string): Promise<string> {
  const { by, uri } = jwksLocation(key);
  const from = by === 'uri' ? uri : await discovered(get, uri);
  const document = usableKeySet(await textOf(get, from));
  if (document === undefined) throw new Error(`${from} answers with something that is no JWK Set`);
  return document;
}

/** OpenID Connect Discovery 1.0, section 4. */
async function discovered(get: typeof fetch, issuer: string): Promise<string> {
  const at = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
  const { jwks_uri: uri } = JSON.parse(await textOf(get, at)) as { readonly jwks_uri?: unknown };
  if (typeof uri !== 'string' || !uri.startsWith('https:')) throw new Error(`${at} names no jwks_uri with https`);
  return uri;
}

/** Redirects are not followed: they could leave https, or lead into the cluster. */
async function textOf(get: typeof fetch, uri: string): Promise<string> {
  const response = await get(uri, { redirect: 'error', signal: AbortSignal.timeout(timeoutMs), headers: { accept: 'application/json' } });
  if (!response.ok) throw new Error(`${uri} answers with status ${response.status}`);
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += chunk.length;
    if (size > maxBytes) throw new Error(`${uri} answers with more than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function reason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message;
}
