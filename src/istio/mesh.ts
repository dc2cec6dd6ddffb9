/** MeshConfig as security policies need it: ConfigMap `istio` of the root namespace, key `mesh`, with Istio's defaults. */
import { load } from 'js-yaml';
import type { TrustDomains } from '../ir/mesh-identity.ts';
import type { ExtensionProvider, MeshConfig } from '../kube/types/istio-security.ts';

export interface Mesh {
  /** Policies of this namespace may target a GatewayClass. */
  readonly rootNamespace: string;
  readonly trustDomain: string;
  readonly trustDomainAliases: readonly string[];
  readonly extensionProviders: readonly ExtensionProvider[];
  /** Namespaces that see DestinationRules without exportTo; `*`: all, `.`: their own. */
  readonly ruleVisibility: readonly string[];
  readonly accessLog: {
    /** Undefined: access is logged only where a Telemetry says so. */
    readonly path?: string;
    readonly json: boolean;
    readonly text?: string;
    /** Where a Telemetry names none. */
    readonly providers: readonly string[];
  };
}

export const defaultMesh: Mesh = {
  rootNamespace: 'istio-system',
  trustDomain: 'cluster.local',
  trustDomainAliases: [],
  extensionProviders: [],
  ruleVisibility: ['*'],
  accessLog: { json: false, providers: ['envoy'] },
};

/** The trust domains whose certificates are of this mesh, its own first. */
export function trustDomainsOf({ trustDomain, trustDomainAliases }: Mesh = defaultMesh): TrustDomains {
  return [trustDomain, ...new Set(trustDomainAliases.filter((alias) => alias !== trustDomain))];
}

/** Name of the ConfigMap, and of the key that holds the MeshConfig. */
export const meshConfigMap = 'istio';
export const meshConfigKey = 'mesh';

/** Fills in the defaults. */
function meshOf(config: MeshConfig): Mesh {
  return {
    rootNamespace: config.rootNamespace || defaultMesh.rootNamespace,
    trustDomain: config.trustDomain || defaultMesh.trustDomain,
    trustDomainAliases: config.trustDomainAliases ?? [],
    extensionProviders: config.extensionProviders ?? [],
    ruleVisibility: config.defaultDestinationRuleExportTo?.length ? config.defaultDestinationRuleExportTo : defaultMesh.ruleVisibility,
    accessLog: {
      ...(config.accessLogFile && { path: config.accessLogFile }),
      ...(config.accessLogFormat && config.accessLogEncoding !== 'JSON' && { text: config.accessLogFormat }),
      json: config.accessLogEncoding === 'JSON',
      providers: config.defaultProviders?.accessLogging?.length ? config.defaultProviders.accessLogging : defaultMesh.accessLog.providers,
    },
  };
}

/** Reads the text under the key `mesh`. Undefined for text that is no YAML object: the caller keeps what it had. */
export function parseMesh(text: string): Mesh | undefined {
  try {
    const value = load(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? meshOf(value) : undefined;
  } catch {
    return undefined;
  }
}
