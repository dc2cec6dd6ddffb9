import type { Session } from '../../ir/session.ts';
import { type Any, any } from '../proto/index.ts';
import { duration } from '../translate/values.ts';
import type { PolicyFilter } from './order.ts';

const filterName = 'envoy.filters.http.stateful_session';

/** sessionPersistence of a rule: prefers the endpoint that the token of the request names. Routes with sessions configure it (translate/session.ts). */
export const statefulSession: PolicyFilter = {
  name: filterName,
  chain: any('envoy.extensions.filters.http.stateful_session.v3.StatefulSession', {}),
};

/** A cookie's place: its path and whether it goes over TLS only. */
export interface CookiePlace {
  readonly path: string;
  readonly secure: boolean;
}

/** Configuration of a route whose requests form sessions. When the endpoint is gone, another one is chosen and the token replaced. */
export function sessionConfig(session: Session, place: CookiePlace): Readonly<Record<string, Any>> {
  const session_state =
    session.type === 'header'
      ? {
          name: 'envoy.http.stateful_session.envelope',
          typed_config: any('envoy.extensions.http.stateful_session.envelope.v3.EnvelopeSessionState', { header: { name: session.name } }),
        }
      : {
          name: 'envoy.http.stateful_session.cookie',
          typed_config: any('envoy.extensions.http.stateful_session.cookie.v3.CookieBasedSessionState', {
            cookie: {
              name: session.name,
              path: place.path,
              ...(session.lifetimeMs !== undefined && { ttl: duration(session.lifetimeMs) }),
              attributes: cookieAttributes(place),
            },
          }),
        };
  const stateful_session = { session_state };
  return { [filterName]: any('envoy.extensions.filters.http.stateful_session.v3.StatefulSessionPerRoute', { stateful_session }) };
}

/** `HttpOnly` is always there (GEP-1619: Secure, HttpOnly, SameSite). */
function cookieAttributes({ secure }: CookiePlace): { readonly name: string; readonly value?: string }[] {
  return [{ name: 'SameSite', value: 'Strict' }, ...(secure ? [{ name: 'Secure' }] : [])];
}
