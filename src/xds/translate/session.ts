/**
 * [RouteRule with a Session] -> one Envoy route for each backend that a session may be tied to, and behind them the rule itself.
 *
 *   request ─┬─ with a token of backend b ─> only b, by its endpoint in the token, even at weight 0
 *            └─ without ─> any backend by weight; the response brings the token
 *
 * Envoy's stateful session chooses an endpoint within a cluster, and which cluster a request goes to is settled before. So the token says that too: in
 * a cookie besides, or in the same header, which carries what the backend "said" (here: the route) along with the endpoint.
 */
import { createHash } from 'node:crypto';
import type { HeaderModifier } from '../../ir/policy.ts';
import type { HttpMatch, RouteRule, WeightedBackend } from '../../ir/route.ts';
import type { Session } from '../../ir/session.ts';
import { type CookiePlace, sessionConfig } from '../filters/stateful-session.ts';
import type { Route } from '../proto/index.ts';
import { type RoutePlace, routeOf } from './route.ts';
import { type Share, shareAction, shareMatch, sharesOf } from './shares.ts';

/** Envoy's routes for one match of a rule, in the order in which they are tried. */
export function routesOf(rule: RouteRule, match: HttpMatch, index: number, place: RoutePlace): readonly Route[] {
  const { session, action } = rule;
  if (action.type !== 'forward') return [routeOf(rule, match, index, place)];
  const routeOfShare = (share: Share): Route => {
    const made = routeOf({ ...rule, action: share.action }, match, index, place);
    return { ...made, name: `${made.name ?? ''}${share.suffix}`, match: shareMatch(made.match, share) };
  };
  if (!session) return sharesOf(action).map(routeOfShare);
  const cookie: CookiePlace = { path: cookiePath(match), secure: place.entry.scheme === 'https' };
  const backends = tied(action.backends, session, cookie);
  const route = (share: Share, token?: string): Route => {
    const made = routeOfShare(share);
    return {
      ...made,
      match: { ...made.match, ...(token !== undefined && tokenMatch(session, token, made.match)) },
      // The backend sees nothing of how it was chosen.
      ...(session.type === 'header' && { request_headers_to_remove: [...(made.request_headers_to_remove ?? []), session.name] }),
      typed_per_filter_config: { ...made.typed_per_filter_config, ...sessionConfig(session, cookie) },
    };
  };
  const chosen = backends.flatMap(({ id, backend }) =>
    id === undefined ? [] : [route({ action: shareAction(action, backend), suffix: `/session-${id}` }, id)],
  );
  const byWeight = sharesOf({ ...action, backends: backends.map((b) => b.backend) }).map((share) => route(share));
  // With one backend there is nothing to choose, and its token is given all the same: sessions hold when a second one comes.
  return backends.length > 1 ? [...chosen, ...byWeight] : byWeight;
}

interface TiedBackend {
  /** Absent: the backend is invalid, and no session is tied to it. */
  readonly id?: string;
  readonly backend: WeightedBackend;
}

/** The backends with what their responses tell the client. An id goes by the cluster: it stays when other backends come and go. */
function tied(backends: readonly WeightedBackend[], session: Session, cookie: CookiePlace): readonly TiedBackend[] {
  const seen = new Map<string, number>();
  return backends.map((backend) => {
    if (backend.cluster === undefined) return { backend };
    const nth = seen.get(backend.cluster) ?? 0;
    seen.set(backend.cluster, nth + 1);
    const id = createHash('sha256')
      .update(`${backend.cluster}${nth === 0 ? '' : `#${nth}`}`)
      .digest('hex')
      .slice(0, 8);
    return { id, backend: { ...backend, responseHeaders: withToken(backend.responseHeaders, session, cookie, id) } };
  });
}

function withToken(modifier: HeaderModifier | undefined, session: Session, cookie: CookiePlace, id: string): HeaderModifier {
  const { set = [], add = [], remove = [] } = modifier ?? {};
  if (session.type === 'header') return { set: [...set, { name: session.name, value: id }], add, remove };
  return { set, add: [...add, { name: 'set-cookie', value: backendCookie(session, cookie, id) }], remove };
}

function backendCookieName(name: string): string {
  return `${name}-backend`;
}

/** Renewed with every response, so that it outlives the cookie with the endpoint: the session ends with that one. */
function backendCookie(session: Session & { type: 'cookie' }, { path, secure }: CookiePlace, id: string): string {
  const age = session.lifetimeMs === undefined ? [] : [`Max-Age=${Math.ceil(session.lifetimeMs / 1000)}`];
  const attributes = [`Path=${path.replaceAll('%', '%%')}`, ...age, 'HttpOnly', 'SameSite=Strict', ...(secure ? ['Secure'] : [])];
  return [`${backendCookieName(session.name).replaceAll('%', '%%')}=${id}`, ...attributes].join('; ');
}

function tokenMatch(session: Session, id: string, { headers = [] }: NonNullable<Route['match']> = {}): NonNullable<Route['match']> {
  if (session.type === 'header') {
    // The envelope is `<address>;UV:<what the backend said>`, each in base64.
    const suffix = `;UV:${Buffer.from(id).toString('base64')}`;
    return { headers: [...headers, { name: session.name, string_match: { suffix } }] };
  }
  return {
    cookies: [
      { name: session.name, string_match: { safe_regex: { regex: '.+' } } },
      { name: backendCookieName(session.name), string_match: { exact: id } },
    ],
  };
}

/** The part of the path that every request to the rule has (GEP-1619: Path). */
function cookiePath({ path, grpc }: HttpMatch): string {
  if (grpc) return '/';
  // In an attribute of a cookie, a semicolon would begin the next one.
  if (path.type !== 'regex') return /^[!-:<-~]+$/.test(path.value) ? path.value : '/';
  const [literal = ''] = /^[\w/~-]*/.exec(path.value) ?? [];
  // What follows a literal may repeat it or leave it out; only whole segments are certain.
  return literal.slice(0, Math.max(1, literal.lastIndexOf('/'))) || '/';
}
