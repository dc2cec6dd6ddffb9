// [bearer token] -> TokenReview -> [ServiceAccount]. Who connects to xDS is whom the API server says it is.
import { createHash } from 'node:crypto';
import type { KubeClient } from './client.ts';
import type { TokenReview } from './types/core.ts';

/** The workload behind a token. */
export interface TokenIdentity {
  readonly namespace: string;
  readonly serviceAccount: string;
  /** The Pod that the token is bound to, if it is. */
  readonly pod?: string;
  /** The Node of that Pod; Kubernetes 1.30 and later say so. */
  readonly node?: string;
}

/** Why a token is refused, for the log and the client. `retry` is true when the API server could not be asked. */
export interface TokenRefusal {
  readonly reason: string;
  readonly retry: boolean;
}

export interface TokenVerifierOptions {
  /** The audience that the token must be for: a token made for another service must not open this one. */
  readonly audience: string;
  /** Milliseconds that an accepted token is believed at most, and a refused one. Default 10 minutes and 10 seconds. */
  readonly keep?: number;
  readonly keepRefused?: number;
  /** Tokens remembered. Default 4096. */
  readonly size?: number;
  /** Milliseconds since the epoch. */
  readonly now?: () => number;
}

/** Verifies a ServiceAccount token. Never rejects. */
export type TokenVerifier = (token: string) => Promise<TokenIdentity | TokenRefusal>;

/** A verifier with a cache of its own: only hashes of tokens are kept, no longer than the tokens are valid. */
export function tokenVerifier(client: Pick<KubeClient, 'tokenReview'>, o: TokenVerifierOptions): TokenVerifier {
  const keep = o.keep ?? 600_000;
  const keepRefused = o.keepRefused ?? 10_000;
  const now = o.now ?? Date.now;
  const cache = new Map<string, { readonly until: number; readonly result: TokenIdentity | TokenRefusal }>();
  const running = new Map<string, Promise<TokenIdentity | TokenRefusal>>();

  const ask = async (token: string, hash: string): Promise<TokenIdentity | TokenRefusal> => {
    let result: TokenIdentity | TokenRefusal;
    try {
      result = identityOf(await client.tokenReview(token, [o.audience]), o.audience);
    } catch (error) {
      return { reason: `the token could not be verified: ${error instanceof Error ? error.message : String(error)}`, retry: true };
    }
    const until = 'reason' in result ? now() + keepRefused : Math.min(now() + keep, expiryOf(token));
    cache.delete(hash);
    // Maps keep their order: the first is the oldest.
    const [oldest] = cache.keys();
    if (oldest !== undefined && cache.size >= (o.size ?? 4096)) cache.delete(oldest);
    cache.set(hash, { until, result });
    return result;
  };

  return async (token) => {
    if (token === '') return { reason: 'no token: mount a projected ServiceAccount token and send it as a bearer token', retry: false };
    const hash = createHash('sha256').update(token).digest('base64');
    const known = cache.get(hash);
    if (known && known.until > now()) return known.result;
    const asked = running.get(hash) ?? ask(token, hash).finally(() => running.delete(hash));
    running.set(hash, asked);
    return asked;
  };
}

function identityOf(status: NonNullable<TokenReview['status']>, audience: string): TokenIdentity | TokenRefusal {
  if (status.authenticated !== true) {
    return {
      reason: `the API server refused the token: ${status.error ?? 'not authenticated'} (it must be for audience "${audience}")`,
      retry: false,
    };
  }
  // An authenticator that knows no audiences returns none: such an answer says nothing about ours.
  if (status.audiences?.includes(audience) !== true) return { reason: `the token is not for audience "${audience}"`, retry: false };
  const [system, kind, namespace, serviceAccount, ...more] = (status.user?.username ?? '').split(':');
  if (system !== 'system' || kind !== 'serviceaccount' || !namespace || !serviceAccount || more.length > 0) {
    return { reason: `${status.user?.username ?? 'nobody'} is no ServiceAccount`, retry: false };
  }
  const pod = status.user?.extra?.['authentication.kubernetes.io/pod-name']?.[0];
  const node = status.user?.extra?.['authentication.kubernetes.io/node-name']?.[0];
  return { namespace, serviceAccount, ...(pod !== undefined && { pod }), ...(node !== undefined && { node }) };
}

/** `exp` of a JWT in milliseconds since the epoch. The signature was the API server's business; without `exp` there is no limit of the token's own. */
function expiryOf(token: string): number {
  try {
    const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as { exp?: unknown };
    return typeof claims.exp === 'number' ? claims.exp * 1000 : Infinity;
  } catch {
    return Infinity;
  }
}
