/**
 * Filters of a rule of an HTTPRoute or GRPCRoute. Source: Gateway API, HTTPRouteFilter.
 *
 *   [filters] -> RuleFilters: what they change of requests and responses, policies that they name, and what is wrong with them
 */
import type { HeaderModifier, RoutePolicies } from '../ir/policy.ts';
import type { HttpMatch, PathRewrite, Redirect } from '../ir/route.ts';
import type {
  HTTPExternalAuthFilter,
  HTTPHeaderFilter,
  HTTPPathModifier,
  HTTPRequestMirrorFilter,
  HTTPRequestRedirectFilter,
  HTTPRouteFilter,
} from '../kube/types/gateway-api.ts';
import { corsPolicy } from '../policy/cors.ts';
import { headerModifier, isHost } from '../policy/headers.ts';
import type { Problem } from '../policy/problem.ts';

/** A policy that a rule names by an ExtensionRef filter. */
export interface ExtensionRef {
  readonly group: string;
  readonly kind: string;
  readonly name: string;
}

/** What a rule's filters come to, before its backends. */
export interface RuleFilters {
  requestHeaders?: HeaderModifier;
  responseHeaders?: HeaderModifier;
  redirect?: Redirect;
  hostRewrite?: string;
  pathRewrite?: PathRewrite;
  mirrors: HTTPRequestMirrorFilter[];
  policies: RoutePolicies;
  extensionRefs: ExtensionRef[];
  externalAuth?: HTTPExternalAuthFilter;
}

/** Translates the filters of a rule with these matches; problems name their field below `field`. */
export function translateFilters(
  filters: readonly HTTPRouteFilter[],
  matches: readonly HttpMatch[],
  field: string,
  problems: Problem[],
): RuleFilters {
  const result: RuleFilters = { mirrors: [], policies: {}, extensionRefs: [] };
  // Path modifiers act on the matched prefix, which the rule's matches share (CEL: one match only when ReplacePrefixMatch is used).
  const prefix = matches.find((m) => m.path.type === 'prefix')?.path.value ?? '/';
  for (const [i, filter] of filters.entries()) {
    const at = `${field}[${i}]`;
    // A newer API may have others.
    const type: string = filter.type;
    switch (filter.type) {
      case 'RequestHeaderModifier': {
        const modifier = literalHeaders(filter.requestHeaderModifier, `${at}.requestHeaderModifier`, problems);
        if (modifier.host !== undefined) result.hostRewrite = modifier.host;
        if (modifier.headers) result.requestHeaders = modifier.headers;
        break;
      }
      case 'ResponseHeaderModifier': {
        const { headers } = literalHeaders(filter.responseHeaderModifier, `${at}.responseHeaderModifier`, problems);
        if (headers) result.responseHeaders = headers;
        break;
      }
      case 'RequestRedirect':
        if (filter.requestRedirect) result.redirect = redirectOf(filter.requestRedirect, prefix, `${at}.requestRedirect`, problems);
        break;
      case 'URLRewrite':
        if (filter.urlRewrite?.hostname !== undefined) result.hostRewrite = filter.urlRewrite.hostname;
        if (filter.urlRewrite?.path) result.pathRewrite = pathRewriteOf(filter.urlRewrite.path, prefix, `${at}.urlRewrite.path`, problems);
        break;
      case 'RequestMirror':
        if (filter.requestMirror) result.mirrors.push(filter.requestMirror);
        break;
      case 'CORS': {
        const { value, problems: found } = corsPolicy(filter.cors ?? {}, `${at}.cors`);
        problems.push(...found);
        if (value) result.policies = { ...result.policies, cors: value };
        break;
      }
      case 'ExternalAuth':
        if (filter.externalAuth) result.externalAuth = filter.externalAuth;
        break;
      case 'ExtensionRef':
        if (filter.extensionRef) result.extensionRefs.push(filter.extensionRef);
        break;
      default:
        problems.push({ field: `${at}.type`, message: `filter type ${type} is not supported` });
    }
  }
  return result;
}

/**
 * Header values of filters are literal: percent signs are doubled, so that Envoy does not read its own operators into them.
 * `Host` may be set (it is a header to the user): that is Envoy's host rewrite.
 */
function literalHeaders(
  filter: HTTPHeaderFilter | undefined,
  field: string,
  problems: Problem[],
): { readonly headers?: HeaderModifier; readonly host?: string } {
  if (!filter) return {};
  const literal = (list: HTTPHeaderFilter['set']) => (list ?? []).map(({ name, value }) => ({ name, value: value.replaceAll('%', '%%') }));
  const spec = { set: literal(filter.set), add: literal(filter.add), remove: filter.remove ?? [] };
  const { value, problems: found } = headerModifier(spec, field, { host: true });
  problems.push(...found);
  const host = filter.set?.find((h) => isHost(h.name))?.value;
  return {
    ...(value && { headers: { ...value, set: value.set.filter((h) => !isHost(h.name)) } }),
    ...(host !== undefined && { host }),
  };
}

function pathRewriteOf(path: HTTPPathModifier, prefix: string, field: string, problems: Problem[]): PathRewrite {
  const [at, text] =
    path.type === 'ReplaceFullPath'
      ? ['replaceFullPath', path.replaceFullPath ?? '']
      : ['replacePrefixMatch', path.replacePrefixMatch ?? ''];
  // The CRD leaves these open, and Envoy would refuse all routes of the host over one such path.
  if (!pathPattern.test(text)) {
    problems.push({ field: `${field}.${at}`, message: `invalid path ${JSON.stringify(text)}; use printable ASCII without spaces` });
  }
  const value = text.startsWith('/') ? text : `/${text}`;
  return path.type === 'ReplaceFullPath' ? { type: 'full', value } : { type: 'prefix', matched: prefix, value };
}

const pathPattern = /^[!-~]*$/;

function redirectOf(filter: HTTPRequestRedirectFilter, prefix: string, field: string, problems: Problem[]): Redirect {
  return {
    ...(filter.scheme && { scheme: filter.scheme }),
    ...(filter.hostname !== undefined && { hostname: filter.hostname }),
    ...(filter.port !== undefined && { port: filter.port }),
    ...(filter.path && { path: pathRewriteOf(filter.path, prefix, `${field}.path`, problems) }),
    status: Number(filter.statusCode ?? 302),
  };
}

/** The share of requests that a mirror gets, in millionths. */
export function mirrorShare(mirror: HTTPRequestMirrorFilter): number {
  if (mirror.percent !== undefined) return mirror.percent * 10_000;
  if (mirror.fraction) return Math.round((mirror.fraction.numerator / (mirror.fraction.denominator ?? 100)) * 1_000_000);
  return 1_000_000;
}
