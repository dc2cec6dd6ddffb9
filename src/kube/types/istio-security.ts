// Istio's security.istio.io/v1 kinds and the part of MeshConfig that concerns them. Source: src/istio/proto (security, mesh, type).
import type { EnvoyFileAccessLog } from './istio-telemetry.ts';
import type { KubeObject } from './meta.ts';

/** istio.type.v1beta1.PolicyTargetReference: always in the namespace of the policy. */
export interface PolicyTargetReference {
  readonly group?: string;
  readonly kind: string;
  readonly name: string;
  readonly namespace?: string;
}

/** What both kinds say about where they hold. At most one of the three may be set. */
export interface PolicyScope {
  readonly selector?: { readonly matchLabels?: Readonly<Record<string, string>> };
  /** Deprecated form of `targetRefs`. */
  readonly targetRef?: PolicyTargetReference;
  readonly targetRefs?: readonly PolicyTargetReference[];
}

export interface AuthorizationSource {
  readonly principals?: readonly string[];
  readonly notPrincipals?: readonly string[];
  readonly requestPrincipals?: readonly string[];
  readonly notRequestPrincipals?: readonly string[];
  readonly namespaces?: readonly string[];
  readonly notNamespaces?: readonly string[];
  readonly serviceAccounts?: readonly string[];
  readonly notServiceAccounts?: readonly string[];
  readonly ipBlocks?: readonly string[];
  readonly notIpBlocks?: readonly string[];
  readonly remoteIpBlocks?: readonly string[];
  readonly notRemoteIpBlocks?: readonly string[];
  readonly trustDomains?: readonly string[];
  readonly notTrustDomains?: readonly string[];
}

export interface AuthorizationOperation {
  readonly hosts?: readonly string[];
  readonly notHosts?: readonly string[];
  readonly ports?: readonly string[];
  readonly notPorts?: readonly string[];
  readonly methods?: readonly string[];
  readonly notMethods?: readonly string[];
  readonly paths?: readonly string[];
  readonly notPaths?: readonly string[];
}

export interface AuthorizationCondition {
  readonly key: string;
  readonly values?: readonly string[];
  readonly notValues?: readonly string[];
}

export interface AuthorizationRule {
  readonly from?: readonly { readonly source?: AuthorizationSource }[];
  readonly to?: readonly { readonly operation?: AuthorizationOperation }[];
  readonly when?: readonly AuthorizationCondition[];
}

export interface AuthorizationPolicySpec extends PolicyScope {
  readonly action?: 'ALLOW' | 'DENY' | 'AUDIT' | 'CUSTOM';
  readonly provider?: { readonly name?: string };
  readonly rules?: readonly AuthorizationRule[];
}

export interface AuthorizationPolicy extends KubeObject {
  readonly spec?: AuthorizationPolicySpec;
}

export interface JWTRule {
  readonly issuer: string;
  readonly audiences?: readonly string[];
  readonly jwksUri?: string;
  /** Another spelling of `jwksUri` that the CRD admits. */
  readonly jwks_uri?: string;
  readonly jwks?: string;
  readonly fromHeaders?: readonly { readonly name: string; readonly prefix?: string }[];
  readonly fromParams?: readonly string[];
  readonly fromCookies?: readonly string[];
  readonly outputPayloadToHeader?: string;
  readonly outputClaimToHeaders?: readonly { readonly header: string; readonly claim: string }[];
  readonly forwardOriginalToken?: boolean;
  /** A duration such as `5s`. */
  readonly timeout?: string;
  readonly spaceDelimitedClaims?: readonly string[];
}

export interface RequestAuthentication extends KubeObject {
  readonly spec?: PolicyScope & { readonly jwtRules?: readonly JWTRule[] };
}

/** MeshConfig.ExtensionProvider.EnvoyExternalAuthorizationRequestBody. */
export interface ExtAuthzRequestBody {
  readonly maxRequestBytes?: number;
  readonly allowPartialMessage?: boolean;
  readonly packAsBytes?: boolean;
}

/** What both external authorization providers of MeshConfig have. */
export interface ExtAuthzProvider {
  /** `[<namespace>/]<host>`. */
  readonly service: string;
  readonly port: number;
  readonly timeout?: string;
  readonly failOpen?: boolean;
  readonly clearRouteCache?: boolean;
  readonly statusOnError?: string;
  readonly includeRequestBodyInCheck?: ExtAuthzRequestBody;
}

export interface ExtAuthzHttpProvider extends ExtAuthzProvider {
  readonly pathPrefix?: string;
  readonly includeHeadersInCheck?: readonly string[];
  readonly includeRequestHeadersInCheck?: readonly string[];
  readonly includeAdditionalHeadersInCheck?: Readonly<Record<string, string>>;
  readonly headersToUpstreamOnAllow?: readonly string[];
  readonly headersToDownstreamOnDeny?: readonly string[];
  readonly headersToDownstreamOnAllow?: readonly string[];
}

export interface ExtensionProvider {
  readonly name: string;
  readonly envoyExtAuthzHttp?: ExtAuthzHttpProvider;
  readonly envoyExtAuthzGrpc?: ExtAuthzProvider;
  readonly envoyFileAccessLog?: EnvoyFileAccessLog;
}

/** istio.mesh.v1alpha1.MeshConfig: key `mesh` of the ConfigMap `istio` in the root namespace. */
export interface MeshConfig {
  readonly rootNamespace?: string;
  readonly trustDomain?: string;
  readonly trustDomainAliases?: readonly string[];
  readonly extensionProviders?: readonly ExtensionProvider[];
  /** Empty: access is logged only where a Telemetry says so. */
  readonly accessLogFile?: string;
  readonly accessLogFormat?: string;
  readonly accessLogEncoding?: 'TEXT' | 'JSON';
  readonly defaultProviders?: { readonly accessLogging?: readonly string[] };
  readonly defaultDestinationRuleExportTo?: readonly string[];
}
