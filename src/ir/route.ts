/**
 * What the routes mean, whichever kind they were written as (HTTPRoute, GRPCRoute) and wherever they are served (ingress, waypoint).
 *
 *   [RouteRule] -> [HostRoutes of one route on one host of one filter chain] -> [scope of that host]
 */
import type { Authorization, ExternalAuthorization } from './authorization.ts';
import type { JwtAuthentication } from './jwt.ts';
import type { ObjectRef } from './object-ref.ts';
import type { HeaderModifier, RoutePolicies } from './policy.ts';
import type { Session } from './session.ts';

export type PathMatch =
  | { readonly type: 'exact'; readonly value: string }
  /** Matches whole path segments; without a trailing slash, except `/` itself. */
  | { readonly type: 'prefix'; readonly value: string }
  /** RE2, matches the whole path; and only paths with the prefix `below`, by segments, where there is one. */
  | { readonly type: 'regex'; readonly value: string; readonly below?: string };

export interface StringMatch {
  readonly type: 'exact' | 'regex';
  readonly value: string;
}

export interface NamedMatch {
  readonly name: string;
  readonly value: StringMatch;
}

export interface HttpMatch {
  readonly path: PathMatch;
  readonly method?: string;
  readonly headers: readonly NamedMatch[];
  readonly queryParams: readonly NamedMatch[];
  /** Of a gRPC match: how many characters of service and method it names, which is what its precedence goes by. */
  readonly grpc?: { readonly service: number; readonly method: number };
}

export type PathRewrite =
  { readonly type: 'full'; readonly value: string } | { readonly type: 'prefix'; readonly matched: string; readonly value: string };

export interface Redirect {
  readonly scheme?: 'http' | 'https';
  readonly hostname?: string;
  /** Absent: the port of the request's listener, or the default one of the new scheme (Gateway API: HTTPRequestRedirectFilter.port). */
  readonly port?: number;
  readonly path?: PathRewrite;
  readonly status: number;
}

/** A share of the traffic. A backend that cannot be resolved keeps its weight, and its share is answered with 500. */
export interface WeightedBackend {
  /** Absent: invalid. */
  readonly cluster?: string;
  readonly weight: number;
  readonly requestHeaders?: HeaderModifier;
  readonly responseHeaders?: HeaderModifier;
  readonly hostRewrite?: string;
  /** Instead of that of the rule. */
  readonly pathRewrite?: PathRewrite;
  /** The share is sent away, unless the backend is invalid. */
  readonly redirect?: Redirect;
  /** Besides those of the rule; never empty. */
  readonly mirrors?: readonly Mirror[];
  /** Asked for each request which endpoints of the cluster are to serve it. */
  readonly picker?: EndpointPicker;
}

/** An endpoint picker of the Gateway API Inference Extension. */
export interface EndpointPicker {
  readonly cluster: string;
  /** What it is called in requests to it: a host name, which the name of the cluster is not. */
  readonly authority: string;
  /** When it does not answer the proxy chooses the endpoint itself; else the request is refused. */
  readonly failOpen: boolean;
}

export interface Mirror {
  readonly cluster: string;
  /** 0 to 1,000,000. */
  readonly millionths: number;
}

export type JsonValue = string | number | boolean | null | readonly JsonValue[] | { readonly [key: string]: JsonValue };

/** An answer without a backend; at most one of `body` and `format`. */
export interface DirectAnswer {
  readonly status: number;
  readonly body?: string;
  /** Texts, and all strings within `json`, may hold Envoy's command operators. */
  readonly format?: { readonly contentType?: string } & (
    { readonly text: string } | { readonly json: { readonly [key: string]: JsonValue } }
  );
}

export type RouteAction =
  | {
      readonly type: 'forward';
      readonly backends: readonly WeightedBackend[];
      readonly hostRewrite?: string;
      readonly pathRewrite?: PathRewrite;
      readonly mirrors: readonly Mirror[];
      /** Answers the share of invalid backends; 500 unless given. 503 is what gRPC clients know as UNAVAILABLE. */
      readonly invalidStatus?: 503;
    }
  | { readonly type: 'redirect'; readonly redirect: Redirect }
  | ({ readonly type: 'direct' } & DirectAnswer);

/** One rule of a route: all its matches lead to the same action. */
export interface RouteRule {
  /** Unique over all routes, stable when other rules come and go if the user named the rule. */
  readonly name: string;
  readonly origin: ObjectRef;
  readonly matches: readonly HttpMatch[];
  readonly action: RouteAction;
  readonly requestHeaders?: HeaderModifier;
  readonly responseHeaders?: HeaderModifier;
  readonly policies: RoutePolicies;
  /** Requests of one session go to the same endpoint. */
  readonly session?: Session;
  /** Asked about every request; what it refuses goes no further. */
  readonly externalAuth?: ExternalAuthorization;
  /** It comes after all others that match equally well: what is left of a rule that delegates. */
  readonly yields?: true;
}

/** Orders routes that match equally well: older first, then by `namespace/name` (Gateway API: HTTPRouteRule precedence). */
export interface RouteOrder {
  /** RFC 3339. */
  readonly created: string;
  readonly key: string;
  /** Higher first, before anything else about two routes of a host is compared; 0 unless given. */
  readonly weight?: number;
}

export interface ListenerEntry {
  readonly scheme: 'http' | 'https';
  readonly port: number;
}

/** What one route (or a boundary without one) contributes to one host behind one filter chain. */
export interface HostRoutes {
  /** The proxies: `namespace/name` of their Gateway. */
  readonly scope: string;
  readonly chain: string;
  /** Lower case; exact, `*.suffix` or `*`. */
  readonly host: string;
  /** Hostname of the listener that owns the host: `*` or as written. Hosts of one owner fall back to each other, of different owners never. */
  readonly owner: string;
  /** What the listener speaks, and on which port: a redirect that names neither goes there. */
  readonly entry: ListenerEntry;
  readonly order: RouteOrder;
  readonly rules: readonly RouteRule[];
  /** Holds for every request to the host, and is the same for all routes behind one chain. */
  readonly authorization?: Authorization;
  /** Whose tokens are believed; likewise. */
  readonly jwt?: JwtAuthentication;
  /** Only for clients of this namespace, and instead of all other routes of the Service (GAMMA: consumer routes). Only at waypoints. */
  readonly clientNamespace?: string;
  readonly origin: ObjectRef;
  /** It says who owns the host on the port, and is asked only after the exact host of a chain had no route. */
  readonly ownership?: true;
}
