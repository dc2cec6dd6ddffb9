/**
 * Who may have which configuration. A proxy presents its ServiceAccount token; that account must own the Gateway that the node asks for.
 *
 *     node.metadata.role -> scope --owner--> { namespace, serviceAccount } == <--verify-- bearer token
 *
 * What knows tokens and Gateways is injected. Tokens appear in no message and no log.
 */

/** A Kubernetes ServiceAccount. */
export interface Identity {
  readonly namespace: string;
  readonly serviceAccount: string;
  /** Where its Pod runs, if the token says so. */
  readonly node?: string;
}

/** Asks who a token is (TokenReview). Throws when nobody can be asked; a token that is no good is an `error`. */
export type VerifyToken = (token: string) => Promise<Identity | { readonly error: string }>;

/** The account that the proxies of a scope run as; undefined if there is no such Gateway. */
export type ScopeOwner = (scope: string) => Identity | undefined;

export type Authentication =
  | { readonly ok: true; readonly identity?: Identity }
  | { readonly ok: false; readonly code: 'UNAUTHENTICATED' | 'PERMISSION_DENIED' | 'UNAVAILABLE'; readonly message: string };

/** `authorization` is the value of the request's header, if it has one. */
export type Authenticate = (authorization: string | undefined, scope: string) => Promise<Authentication>;

const role = /^kgateway-kube-gateway-api~([^~]+)~([^~]+)$/;

/** The scope that a node asks for: `namespace/name` of its Gateway, from `node.metadata.role`. */
export function scopeOfRole(value: string | undefined): string | undefined {
  const match = role.exec(value ?? '');
  return match ? `${match[1]}/${match[2]}` : undefined;
}

/** The token of an `authorization: Bearer <token>` header (RFC 6750; the scheme's case does not matter). */
export function bearerToken(authorization: string | undefined): string | undefined {
  return /^bearer +([\w\-.~+/]+=*) *$/i.exec(authorization ?? '')?.[1];
}

/** Checks token and ownership. */
export function authenticator(verify: VerifyToken, owner: ScopeOwner): Authenticate {
  return async (authorization, scope) => {
    const token = bearerToken(authorization);
    if (token === undefined) {
      return {
        ok: false,
        code: 'UNAUTHENTICATED',
        message: `no bearer token; mount a ServiceAccount token with audience "kgateway" in the proxy and send it as "authorization: Bearer <token>"`,
      };
    }
    let identity: Awaited<ReturnType<VerifyToken>>;
    try {
      identity = await verify(token);
    } catch {
      return {
        ok: false,
        code: 'UNAVAILABLE',
        message: 'the token could not be reviewed; see that the controller reaches the API server. The proxy retries',
      };
    }
    if ('error' in identity) {
      return {
        ok: false,
        code: 'UNAUTHENTICATED',
        message: `the token was not accepted: ${identity.error.replaceAll(token, '[redacted]')}; see that it has not expired and has audience "kgateway"`,
      };
    }
    const wanted = owner(scope);
    if (wanted?.namespace !== identity.namespace || wanted.serviceAccount !== identity.serviceAccount) {
      // The same words whether or not the Gateway exists: who may not have it need not know.
      return {
        ok: false,
        code: 'PERMISSION_DENIED',
        message:
          `ServiceAccount ${identity.namespace}/${identity.serviceAccount} does not own Gateway ${scope}; ` +
          `run the proxy with the ServiceAccount of that Gateway, or correct node.metadata.role`,
      };
    }
    return { ok: true, identity };
  };
}
