/**
 * Secrets of DestinationRules at waypoints.
 *
 *   TrafficRules with credentialName ─┬─> CredentialUses, by waypoint and Secret ─> SDS secrets of that waypoint
 *   Gateways that are waypoints ──────┘        └─> Credentials, by Secret ─┬─> key pairs
 *                                                                          └─> credentialOf(rule, waypoint, name): CAs in clusters, problems
 */
import type { GatewayView } from '../gateway/gateway.ts';
import { type Grants, grantsOf, notPermitted } from '../gateway/referencegrant.ts';
import { caSecretOf, credentialCa, credentialPair, readableCredential, ruleSubject } from '../gateway/rule-credential.ts';
import type { KeyPair, TlsCertificate } from '../ir/listener.ts';
import type { ObjectRef } from '../ir/object-ref.ts';
import type { TlsCredential } from '../ir/traffic.ts';
import { type TrafficRule, sees } from '../istio/destinationrule.ts';
import { type Mesh, defaultMesh } from '../istio/mesh.ts';
import { type Collection, type Ctx, type Graph, flatMap, group, map } from '../krt/index.ts';
import type { Sources } from './sources.ts';

export interface RuleCredentials {
  /** What proxies of waypoints may ask for. */
  readonly certificates: Collection<TlsCertificate>;
  /** By what `certificates` call their Secret. */
  readonly keyPairs: Collection<KeyPair>;
  /** What a rule gets for a name at the waypoints of a namespace. */
  readonly credentialOf: (ctx: Ctx, rule: TrafficRule, waypoint: string, name: string) => TlsCredential;
}

interface Credential {
  readonly key: string;
  readonly pair: KeyPair | string;
  readonly ca: TlsCredential['ca'];
}

/** Names of SDS secrets, apart from those of Gateways: the pair may stand under other keys of the Secret. */
const sdsName = (secret: string): string => `destination-rule://${secret}`;

/** Builds the collections. */
export function ruleCredentials(
  g: Graph,
  sources: Pick<Sources, 'secrets' | 'referenceGrants'>,
  rules: Collection<TrafficRule>,
  gateways: Collection<GatewayView>,
  meshConfig: (ctx: Ctx) => Mesh | undefined,
): RuleCredentials {
  const grants = grantsOf(sources.referenceGrants);
  const withCredentials = rules.index('with credentials', (r) => (r.credentials.length > 0 ? [some] : []));
  const certificates = flatMap(
    g,
    gateways,
    { name: 'RuleCertificates', key: (c: TlsCertificate) => `${c.scope}|${c.name}` },
    (ctx, view) => {
      if (!view.waypoint) return [];
      const visibleByDefault = (meshConfig(ctx) ?? defaultMesh).ruleVisibility;
      const visible = ctx
        .fetch(rules, { index: withCredentials, is: some })
        .filter((r) => sees(view.ref.namespace, r, { visibleByDefault }));
      return certificatesAt(ctx, grants, view, visible);
    },
  );
  const bySecret = group(
    g,
    { name: 'RuleCertificatesBySecret' },
    certificates.index('secret', (c) => [c.secret]),
  );
  const credentials = map(g, bySecret, { name: 'RuleCredentials', equals: sameCredential }, (ctx, { key }): Credential => {
    const secret = ctx.fetchOne(sources.secrets, secretOf(key));
    const caSecret = ctx.fetchOne(sources.secrets, caSecretOf(secretOf(key))) ?? secret;
    const missing = `Secret ${secretOf(key)} not found`;
    const ca = caSecret ? credentialCa(caSecret) : missing;
    return { key, pair: secret ? credentialPair(secret) : missing, ca: typeof ca === 'string' ? { problem: ca } : ca };
  });
  // A Secret that turns invalid takes nothing down; the rule says so.
  const keyPairs = map(g, credentials, { name: 'RuleKeyPairs', equals: samePair }, (ctx, { key, pair }) => {
    if (typeof pair !== 'string') return pair;
    if (ctx.fetchOne(sources.secrets, secretOf(key))) ctx.keepLast();
    return undefined;
  });
  const credentialOf: RuleCredentials['credentialOf'] = (ctx, rule, waypoint, name) => {
    const readable = readableCredential(ctx, grants, rule.ref.namespace, waypoint, name);
    if (readable === undefined) {
      const problem = `reference to ${notPermitted(ruleSubject(rule.ref.namespace), { kind: 'Secret', namespace: waypoint, name })}`;
      return { pair: { problem }, ca: { problem } };
    }
    const key = keyOfSecret(readable);
    const found = ctx.fetchOne(credentials, key);
    if (!found) return { pair: { problem: `Secret ${readable} not found` }, ca: { problem: `Secret ${readable} not found` } };
    const wrong = typeof found.pair === 'string' ? { problem: found.pair } : undefined;
    if (ctx.fetchOne(keyPairs, key)) return { pair: { sds: sdsName(readable), ...wrong }, ca: found.ca };
    return { pair: wrong ?? { problem: `Secret ${readable} not found` }, ca: found.ca };
  };
  return { certificates, keyPairs, credentialOf };
}

const some = 'some';

function certificatesAt(ctx: Ctx, grants: Grants, view: GatewayView, rules: readonly TrafficRule[]): readonly TlsCertificate[] {
  const origins = new Map<string, ObjectRef[]>();
  for (const { ref, credentials } of rules) {
    for (const name of new Set(credentials.map((c) => c.name))) {
      const secret = readableCredential(ctx, grants, ref.namespace, view.ref.namespace, name);
      if (secret !== undefined) origins.set(secret, [...(origins.get(secret) ?? []), ref]);
    }
  }
  return [...origins].map(([secret, refs]) => ({ scope: view.key, name: sdsName(secret), secret: keyOfSecret(secret), origins: refs }));
}

/** Apart from the key pairs of Gateways. */
function keyOfSecret(secret: string): string {
  return `credential|${secret}`;
}

function secretOf(key: string): string {
  return key.slice(key.indexOf('|') + 1);
}

function sameCredential(a: Credential, b: Credential): boolean {
  const samePairs = typeof a.pair === 'string' || typeof b.pair === 'string' ? a.pair === b.pair : samePair(a.pair, b.pair);
  return samePairs && JSON.stringify(a.ca) === JSON.stringify(b.ca);
}

function samePair(a: KeyPair, b: KeyPair): boolean {
  return a.certificate.equals(b.certificate) && a.privateKey.equals(b.privateKey);
}
