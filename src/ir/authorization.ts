/**
 * Who may do what, as the AuthorizationPolicies that hold for a target come to.
 *
 *   [AuthorizationPolicy]* of a target -> Authorization: audit, deny, allow, custom -> xds/filters/rbac, xds/translate/network-rbac
 *
 * A rule is from × to × when: each of the three must match. Within `from` and `to` one group suffices, in a group all clauses must match, and in
 * a clause one value suffices. Nothing in a group, or no group at all, matches everything.
 */
import type { ObjectRef } from './object-ref.ts';

/** Istio's string match: `abc`, `abc*`, `*abc`, `*` (present and not empty). */
export type TextMatch = { readonly type: 'exact' | 'prefix' | 'suffix'; readonly value: string } | { readonly type: 'present' };

/** One value of one attribute of a request or connection. */
export type AttributeMatch =
  /** SPIFFE identity of the peer, without `spiffe://`. */
  | { readonly kind: 'principal'; readonly match: TextMatch }
  /** Namespace in the identity; `*` within stands for any text without slash. */
  | { readonly kind: 'namespace'; readonly glob: string }
  | { readonly kind: 'serviceAccount'; readonly namespace: string; readonly name: string }
  | { readonly kind: 'trustDomain'; readonly glob: string }
  /** Address of the peer; with PROXY protocol the one that it says. */
  | { readonly kind: 'sourceIp'; readonly cidr: Cidr }
  /** Address of the client as trusted `X-Forwarded-For` says. */
  | { readonly kind: 'remoteIp'; readonly cidr: Cidr }
  | { readonly kind: 'destinationIp'; readonly cidr: Cidr }
  | { readonly kind: 'port'; readonly port: number }
  | { readonly kind: 'sni'; readonly match: TextMatch }
  /** Any metadata of an Envoy filter. */
  | { readonly kind: 'metadata'; readonly filter: string; readonly key: string; readonly list: boolean; readonly match: TextMatch }
  /** `<issuer>/<subject>` of a verified JWT. */
  | { readonly kind: 'requestPrincipal'; readonly match: TextMatch }
  /** A string claim of a verified JWT, or an element of a list of strings. */
  | { readonly kind: 'claim'; readonly path: readonly string[]; readonly match: TextMatch }
  | { readonly kind: 'header'; readonly name: string; readonly match: TextMatch }
  | { readonly kind: 'host'; readonly match: TextMatch }
  | { readonly kind: 'method'; readonly match: TextMatch }
  /** Without query and fragment. */
  | { readonly kind: 'path'; readonly match: TextMatch }
  /** Envoy's URI template: `{*}` is one segment, `{**}` any number of them. */
  | { readonly kind: 'pathTemplate'; readonly template: string };

export interface Cidr {
  readonly address: string;
  readonly bits: number;
}

/** One of the values, or with `not` none of them. */
export interface Clause {
  readonly not: boolean;
  readonly values: readonly AttributeMatch[];
}

/** All clauses must match. */
export type ClauseGroup = readonly Clause[];

export interface AuthorizationRule {
  /** `ns[<ns>]-policy[<name>]-rule[<i>]`: the name that istioctl, logs and dry-run statistics show. */
  readonly name: string;
  readonly from: readonly ClauseGroup[];
  readonly to: readonly ClauseGroup[];
  readonly when: ClauseGroup;
  /** The policy has no rules: this stands for it and matches nothing. */
  readonly never?: true;
}

/** The rules of all policies of one action. Enforced and dry-run ones are told apart, as Envoy counts the latter only. */
export interface ActionRules {
  /** Undefined: no enforced policy of this action holds. Of ALLOW, an empty list denies everything. */
  readonly enforced?: readonly AuthorizationRule[];
  readonly dryRun?: readonly AuthorizationRule[];
}

/** An external authorization service (MeshConfig.extensionProviders). Durations in milliseconds. */
export interface ExternalAuthorization {
  readonly name: string;
  readonly protocol: 'http' | 'grpc';
  /** Cluster of the service. */
  readonly cluster: string;
  /** `host:port`, the authority of the calls. */
  readonly authority: string;
  readonly timeoutMs: number;
  readonly failOpen: boolean;
  readonly clearRouteCache: boolean;
  readonly statusOnError: number;
  readonly body?: { readonly maxBytes: number; readonly allowPartial: boolean; readonly asBytes: boolean };
  /** The following only over HTTP. */
  readonly pathPrefix: string;
  readonly requestHeaders: readonly TextMatch[];
  readonly additionalHeaders: readonly { readonly name: string; readonly value: string }[];
  readonly headersToUpstreamOnAllow: readonly TextMatch[];
  readonly headersToDownstreamOnDeny: readonly TextMatch[];
  readonly headersToDownstreamOnAllow: readonly TextMatch[];
}

/** Requests that the rules match are asked about. */
export interface CustomAuthorization extends ActionRules {
  readonly provider: ExternalAuthorization;
}

/** Everything that holds for one target. Evaluated in this order: custom, audit, deny, allow. */
export interface Authorization {
  /** Where the identity of the peer comes from: what its certificate said, kept in filter state by a waypoint, or the certificate itself. */
  readonly identity: 'filter-state' | 'certificate';
  readonly custom?: CustomAuthorization;
  readonly audit: ActionRules;
  readonly deny: ActionRules;
  readonly allow: ActionRules;
  /** The policies, for reports of what a proxy refused. */
  readonly origins: readonly ObjectRef[];
}

/** Name of the filter state object that holds the SPIFFE identity of the peer, as ztunnel sent it. */
export const peerPrincipalState = 'io.istio.peer_principal';

const httpOnly: ReadonlySet<AttributeMatch['kind']> = new Set([
  'requestPrincipal',
  'claim',
  'header',
  'host',
  'method',
  'path',
  'pathTemplate',
]);

function isHttpOnly(clause: Clause): boolean {
  return clause.values.some((v) => httpOnly.has(v.kind));
}

/**
 * The same on a TCP port, where nothing of HTTP can be seen: an ALLOW rule that needs it never matches, any other rule goes without
 * it and so matches more (Istio: "Authorization for TCP traffic").
 */
export function tcpAuthorization({ custom, audit, deny, allow, ...rest }: Authorization): Authorization {
  const each = (rules: ActionRules, change: (r: readonly AuthorizationRule[]) => readonly AuthorizationRule[]): ActionRules => ({
    ...(rules.enforced && { enforced: change(rules.enforced) }),
    ...(rules.dryRun && { dryRun: change(rules.dryRun) }),
  });
  const widen = (rules: readonly AuthorizationRule[]): readonly AuthorizationRule[] => rules.map(withoutHttp);
  return {
    ...rest,
    ...(custom && { custom: { ...custom, ...each(custom, widen) } }),
    audit: each(audit, widen),
    deny: each(deny, widen),
    allow: each(allow, (rules) => rules.filter((r) => !needsHttp(r))),
  };
}

function needsHttp(rule: AuthorizationRule): boolean {
  return [...rule.from, ...rule.to, rule.when].some((group) => group.some(isHttpOnly));
}

function withoutHttp(rule: AuthorizationRule): AuthorizationRule {
  const strip = (group: ClauseGroup): ClauseGroup => group.filter((c) => !isHttpOnly(c));
  return { ...rule, from: rule.from.map(strip), to: rule.to.map(strip), when: strip(rule.when) };
}
