/**
 *   [RequestAuthentication] -> parse -> [ParsedRequestAuthentication], by target -> jwtOf(everything that holds at a place, key sets) -> JwtAuthentication
 *
 * A rule that cannot be read, or whose keys cannot be had, believes no token: it fails closed.
 * Source of the semantics: Istio, RequestAuthentication.
 */
import { isHeaderName } from '../ir/header-syntax.ts';
import type { JwtAuthentication, JwtProvider } from '../ir/jwt.ts';
import { type ObjectRef, describeRef } from '../ir/object-ref.ts';
import type { ConditionsReport } from '../ir/report.ts';
import type { JWTRule, RequestAuthentication } from '../kube/types/istio-security.ts';
import { nobodysKeySet, usableKeySet } from './jwks.ts';
import type { Mesh } from './mesh.ts';
import { type PolicyObject, type PolicyProblem, acceptedReport, describeProblems, oldestFirst, policyObject } from './policy.ts';
import { parseTargets } from './policy-target.ts';

/** Where keys are fetched: a JWK Set, or what the issuer says about itself (OpenID Connect Discovery). */
export type JwksLocation = { readonly by: 'uri' | 'discovery'; readonly uri: string };

/** A key set as it was fetched last. */
export interface Jwks {
  /** `jwksKey` of its location. */
  readonly key: string;
  /** Undefined: it could never be fetched. */
  readonly document?: string;
  /** Why the last attempt failed. */
  readonly problem?: string;
}

/** Key of a key set in collections. */
export function jwksKey({ by, uri }: JwksLocation): string {
  return `${by} ${uri}`;
}

/** The location of a key. */
export function jwksLocation(key: string): JwksLocation {
  const space = key.indexOf(' ');
  return { by: key.slice(0, space) === 'discovery' ? 'discovery' : 'uri', uri: key.slice(space + 1) };
}

/** A rule: its keys are there, are to be fetched, or cannot be had. */
export interface ParsedJwtRule {
  readonly provider: Omit<JwtProvider, 'jwks'>;
  readonly keys:
    | { readonly from: 'inline'; readonly document: string }
    | { readonly from: 'location'; readonly key: string }
    | { readonly from: 'nowhere' };
}

export interface ParsedRequestAuthentication extends PolicyObject {
  readonly targets: readonly ObjectRef[];
  readonly rules: readonly ParsedJwtRule[];
  readonly problems: readonly PolicyProblem[];
}

/** Reads a policy. Undefined when it is for workloads: it names no target. */
export function parseRequestAuthentication(policy: RequestAuthentication, mesh: Mesh): ParsedRequestAuthentication | undefined {
  const { metadata, spec = {} } = policy;
  const namespace = metadata.namespace ?? '';
  const { targets, problems: targetProblems } = parseTargets(spec, metadata, mesh.rootNamespace);
  if (targets.length === 0 && targetProblems.length === 0) return undefined;
  const problems = [...targetProblems];
  const rules = (spec.jwtRules ?? []).map((rule, i): ParsedJwtRule => {
    const field = `spec.jwtRules[${i}]`;
    const sound = problems.length;
    const keys = keysOf(rule, field, problems);
    if (!rule.issuer) problems.push({ field: `${field}.issuer`, message: 'is missing; every token would be believed' });
    problems.push(...unusableNames(rule, field));
    const name = `${namespace}/${metadata.name}/${i}`;
    // Nothing of a rule with problems goes to Envoy, which would refuse all that comes with it.
    if (problems.length > sound) return { provider: providerOf(name, { issuer: rule.issuer ?? '' }), keys: { from: 'nowhere' } };
    return { provider: providerOf(name, rule), keys };
  });
  return {
    ...policyObject('security.istio.io', 'RequestAuthentication', metadata),
    targets,
    rules,
    problems,
  };
}

function keysOf(rule: JWTRule, field: string, problems: PolicyProblem[]): ParsedJwtRule['keys'] {
  const uri = rule.jwksUri ?? rule.jwks_uri;
  if (rule.jwks) {
    if (uri) problems.push({ field: `${field}.jwks`, message: 'cannot be combined with jwksUri; remove one of them' });
    const document = usableKeySet(rule.jwks);
    if (document === undefined) problems.push({ field: `${field}.jwks`, message: 'is no JWK Set; write {"keys": [...]}' });
    return document === undefined ? { from: 'nowhere' } : { from: 'inline', document };
  }
  const location: JwksLocation = uri ? { by: 'uri', uri } : { by: 'discovery', uri: rule.issuer ?? '' };
  if (!isHttps(location.uri)) {
    const at = uri ? `${field}.jwksUri` : `${field}.issuer`;
    problems.push({
      field: at,
      message: `${JSON.stringify(location.uri)} is no https URL, so its keys cannot be fetched safely; use https, or jwks`,
    });
  }
  return { from: 'location', key: jwksKey(location) };
}

/** Names that Envoy would refuse. */
function unusableNames(rule: JWTRule, field: string): readonly PolicyProblem[] {
  const headers = [
    ...(rule.fromHeaders ?? []).map((h) => ['fromHeaders', h.name] as const),
    ...(rule.outputClaimToHeaders ?? []).map((h) => ['outputClaimToHeaders', h.header] as const),
    ...(rule.outputPayloadToHeader ? [['outputPayloadToHeader', rule.outputPayloadToHeader] as const] : []),
  ];
  const texts = [
    ...(rule.fromHeaders ?? []).map((h) => ['fromHeaders', `-${h.prefix ?? ''}`] as const),
    ...(rule.fromParams ?? []).map((p) => ['fromParams', p] as const),
    ...(rule.fromCookies ?? []).map((c) => ['fromCookies', c] as const),
    ...(rule.outputClaimToHeaders ?? []).map((h) => ['outputClaimToHeaders', h.claim] as const),
    ...(rule.spaceDelimitedClaims ?? []).map((c) => ['spaceDelimitedClaims', c] as const),
  ];
  return [
    ...headers
      .filter(([, name]) => !isHeaderName(name))
      .map(([at, name]) => ({ field: `${field}.${at}`, message: `${JSON.stringify(name)} is no header name` })),
    ...texts
      .filter(([, text]) => !/^[\x20-\x7e]+$/.test(text))
      .map(([at]) => ({ field: `${field}.${at}`, message: 'must be printable ASCII, and not empty' })),
  ];
}

function isHttps(text: string): boolean {
  return URL.parse(text)?.protocol === 'https:';
}

function providerOf(name: string, rule: JWTRule): ParsedJwtRule['provider'] {
  return {
    name,
    issuer: rule.issuer ?? '',
    audiences: rule.audiences ?? [],
    fromHeaders: (rule.fromHeaders ?? []).map((h) => ({ name: h.name, prefix: h.prefix ?? '' })),
    fromParams: rule.fromParams ?? [],
    fromCookies: rule.fromCookies ?? [],
    forward: rule.forwardOriginalToken ?? false,
    ...(rule.outputPayloadToHeader && { payloadHeader: rule.outputPayloadToHeader }),
    claimHeaders: rule.outputClaimToHeaders ?? [],
    spaceDelimitedClaims: rule.spaceDelimitedClaims ?? [],
  };
}

/** The key sets that a policy needs from elsewhere. */
export function jwksKeysOf({ rules }: ParsedRequestAuthentication): readonly string[] {
  return [...new Set(rules.flatMap(({ keys }) => (keys.from === 'location' ? [keys.key] : [])))];
}

/** Everything that holds at a place. Undefined: tokens are not looked at. */
export function jwtOf(
  policies: readonly ParsedRequestAuthentication[],
  documentOf: (key: string) => string | undefined,
): JwtAuthentication | undefined {
  const unique = oldestFirst(policies);
  const providers = unique.flatMap((p) =>
    p.rules.map(({ provider, keys }): JwtProvider => {
      const jwks = keys.from === 'inline' ? keys.document : keys.from === 'location' ? documentOf(keys.key) : undefined;
      return { ...provider, jwks: jwks ?? nobodysKeySet };
    }),
  );
  return providers.length > 0 ? { providers, origins: unique.map((p) => p.ref) } : undefined;
}

/** What the author is told, for the targets that we serve. */
export function requestAuthenticationStatus(
  policy: ParsedRequestAuthentication,
  served: readonly ObjectRef[],
  problemOf: (key: string) => string | undefined,
): ConditionsReport {
  const targets = served.map((t) => describeRef(t)).join(', ');
  const fetching = policy.rules.flatMap(({ keys }, i) => {
    const problem = keys.from === 'location' ? problemOf(keys.key) : undefined;
    return problem === undefined ? [] : [`spec.jwtRules[${i}]: ${problem}`];
  });
  if (served.length === 0) return acceptedReport(policy, undefined);
  if (policy.problems.length === 0 && fetching.length === 0)
    return acceptedReport(policy, { status: 'True', reason: 'Accepted', message: `holds for ${targets}` });
  const wrong = [...(policy.problems.length > 0 ? [describeProblems(policy.problems)] : []), ...fetching].join('; ');
  return acceptedReport(policy, {
    status: 'False',
    reason: policy.problems.length > 0 ? 'Invalid' : 'KeysUnavailable',
    message: `tokens are refused where keys are missing: ${wrong}`,
  });
}
