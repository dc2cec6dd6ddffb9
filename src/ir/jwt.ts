/**
 * Whose tokens are believed, as the RequestAuthentications that hold for a target come to.
 *
 *   [RequestAuthentication]* of a target + [Jwks] -> JwtAuthentication -> xds/filters/jwt-authn
 *
 * A request without a token is anonymous and may pass; a token that is not valid is refused with 401.
 */
import type { ObjectRef } from './object-ref.ts';

/** One issuer of tokens. Without any of the three places, tokens are in `Authorization: Bearer` and the query parameter `access_token`. */
export interface JwtProvider {
  /** Unique among all of a target. */
  readonly name: string;
  readonly issuer: string;
  /** Any of them; empty: a token may be for anybody. */
  readonly audiences: readonly string[];
  /** The JWK Set as text, with at least one key that Envoy can use: what it refuses would leave the configuration before in force. */
  readonly jwks: string;
  readonly fromHeaders: readonly { readonly name: string; readonly prefix: string }[];
  readonly fromParams: readonly string[];
  readonly fromCookies: readonly string[];
  /** The backend gets the token too. */
  readonly forward: boolean;
  /** Header that carries the payload to the backend, in base64. */
  readonly payloadHeader?: string;
  readonly claimHeaders: readonly { readonly header: string; readonly claim: string }[];
  /** Claims whose words are told apart at spaces. */
  readonly spaceDelimitedClaims: readonly string[];
}

export interface JwtAuthentication {
  /** In the order of their policies; never empty. */
  readonly providers: readonly JwtProvider[];
  readonly origins: readonly ObjectRef[];
}
