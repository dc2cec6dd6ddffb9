// What the policies of a route come to, independent of the kind of object that said it.
//   [TrafficPolicy]* + [HTTPRoute filters, timeouts, retry] -> RoutePolicies -> xds/filters
// Durations are in milliseconds, sizes in bytes, percentages 0 to 100. A field that is absent says nothing: a less specific level may set it.
// `'disabled'` says that the feature is off here, whatever less specific levels say.
import type { SecretBytes } from './secret-bytes.ts';
import type { Transformation } from './transformation.ts';

/** Timeouts of a route. 0 disables the timeout (Gateway API: HTTPRouteRule.timeouts). */
export interface Timeouts {
  /** From the end of the request to the end of the response, retries included. */
  readonly requestMs?: number;
  /** Without a byte in either direction. */
  readonly streamIdleMs?: number;
}

/** When to retry: Envoy's `retry_on` tokens, those for HTTP and those for gRPC. */
export type RetryCondition =
  | '5xx'
  | 'gateway-error'
  | 'reset'
  | 'reset-before-request'
  | 'connect-failure'
  | 'envoy-ratelimited'
  | 'retriable-4xx'
  | 'refused-stream'
  | 'retriable-status-codes'
  | 'retriable-headers'
  | 'http3-post-connect-failure'
  | 'cancelled'
  | 'deadline-exceeded'
  | 'internal'
  | 'resource-exhausted'
  | 'unavailable';

export interface RetryPolicy {
  readonly retryOn: readonly RetryCondition[];
  /** Status codes to retry besides `retryOn`; when not empty, `retryOn` holds `retriable-status-codes`. */
  readonly statusCodes: readonly number[];
  /** Retries after the first attempt; 0 means none. */
  readonly attempts: number;
  /** Of each attempt, the first included; absent: the timeout of the request. */
  readonly perTryTimeoutMs?: number;
  /** Base of the jittered exponential back-off, at least 1. */
  readonly backoffBaseMs: number;
}

export interface HeaderValue {
  readonly name: string;
  /** What comes out of a Secret redacts itself. */
  readonly value: string | SecretBytes;
}

/** Changes to the headers of one direction; names never are `host` or begin with `:`, which Envoy refuses. */
export interface HeaderModifier {
  /** Replaces what is there. */
  readonly set: readonly HeaderValue[];
  /** Appends to what is there. */
  readonly add: readonly HeaderValue[];
  readonly remove: readonly string[];
}

/** Of both directions. One unit in merging, as `headerModifiers` is one field of a TrafficPolicy. */
export interface HeaderModifiers {
  readonly request?: HeaderModifier;
  readonly response?: HeaderModifier;
}

/** An allowed origin. A wildcard stands for any text to the left of `suffix`, dots included (Gateway API: HTTPCORSFilter.allowOrigins). */
export type CorsOrigin =
  | { readonly kind: 'any' }
  | { readonly kind: 'exact'; readonly origin: string }
  /** `suffix` is what follows the `*`: `.example.com`, or empty for every host. Without `port` the origin has none. */
  | { readonly kind: 'wildcard'; readonly scheme: 'http' | 'https'; readonly suffix: string; readonly port?: number };

export interface CorsPolicy {
  readonly allowOrigins: readonly CorsOrigin[];
  /** `['*']` allows every method; with credentials the one asked for is echoed. */
  readonly allowMethods: readonly string[];
  readonly allowHeaders: readonly string[];
  readonly exposeHeaders: readonly string[];
  readonly allowCredentials: boolean;
  readonly maxAgeSeconds: number;
}

/** A token bucket in every Envoy, one for each place in the configuration that it is attached to. */
export interface LocalRateLimit {
  readonly maxTokens: number;
  readonly tokensPerFill: number;
  /** At least 50 (Envoy). */
  readonly fillIntervalMs: number;
  /** Share of requests that take a token. */
  readonly enabledPercent: number;
  /** Share of those without a token that get 429. */
  readonly enforcedPercent: number;
}

/** Requests are buffered whole; a larger one gets 413. */
export interface RequestBuffer {
  readonly maxBytes: number;
}

/** The effective policies of a route, or of all routes of a listener or Gateway. */
export interface RoutePolicies {
  readonly timeouts?: Timeouts;
  readonly retry?: RetryPolicy;
  readonly headers?: HeaderModifiers;
  readonly cors?: CorsPolicy | 'disabled';
  readonly localRateLimit?: LocalRateLimit | 'disabled';
  readonly buffer?: RequestBuffer | 'disabled';
  readonly transformation?: Transformation;
}
