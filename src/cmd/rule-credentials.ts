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
import { type Collection, type Ctx, type Graph, count, flatMap, map } from '../krt/index.ts';
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
  const references = flatMap(g, gateways, { name: 'RuleSecrets', key: (r: SecretReference) => `${r.scope}|${r.secret}` }, (ctx, view) => {
    if (!view.waypoint) return [];
    const visibleByDefault = (meshConfig(ctx) ?? defaultMesh).ruleVisibility;
    const visible = ctx.fetch(rules, { index: withCredentials, is: some }).filter((r) => sees(view.ref.namespace, r, { visibleByDefault }));
    return secretsAt(ctx, grants, view, visible);
  });
  const certificates = map(
    g,
    references,
    { name: 'RuleCertificates', key: (c: TlsCertificate) => `${c.scope}|${c.name}` },
    (_ctx, { scope, secret, origins }): TlsCertificate | undefined =>
      origins.length > 0 ? { scope, name: sdsName(secret), secret: keyOfSecret(secret), origins } : undefined,
  );
  const bySecret = count(
    g,
    { name: 'RuleSecretsByName' },
    references.index('secret', (r) => [keyOfSecret(r.secret)]),
  );
  const credentials = map(g, bySecret, { name: 'RuleCredentials' }, (ctx, { key }): Credential | undefined => {
    const secret = ctx.fetchOne(sources.secrets, secretOf(key));
    if (!secret) return undefined;
    const ca = credentialCa(secret);
    return { key, pair: credentialPair(secret), ca: typeof ca === 'string' ? { problem: ca } : ca };
  });
  // A Secret that turns invalid takes nothing down; the rule says so.
  const keyPairs = map(g, credentials, { name: 'RuleKeyPairs' }, (ctx, { pair }) => {
    if (typeof pair !== 'string') return pair;
    ctx.keepLast();
    return undefined;
  });
  const credentialOf: RuleCredentials['credentialOf'] = (ctx, rule, waypoint, name) => {
    const readable = readableCredential(ctx, grants, rule.ref.namespace, waypoint, name);
    if (readable === undefined) {
      const problem = `reference to ${notPermitted(ruleSubject(rule.ref.namespace), { kind: 'Secret', namespace: waypoint, name })}`;
      return { pair: { problem }, ca: { problem } };
    }
    const key = keyOfSecret(readable);
    const missing = { problem: `Secret ${readable} not found` };
    const found = ctx.fetchOne(credentials, key);
    const beside = readableCredential(ctx, grants, rule.ref.namespace, waypoint, caSecretOf(name));
    const ca = (beside === undefined ? undefined : ctx.fetchOne(credentials, keyOfSecret(beside))?.ca) ?? found?.ca ?? missing;
    if (!found) return { pair: missing, ca };
    const wrong = typeof found.pair === 'string' ? { problem: found.pair } : undefined;
    return { pair: ctx.fetchOne(keyPairs, key) ? { sds: sdsName(readable), ...wrong } : (wrong ?? missing), ca };
  };
  return { certificates, keyPairs, credentialOf };
}

const some = 'some';

/** A Secret that rules may have the proxies of a Gateway use. */
interface SecretReference {
  readonly scope: string;
  readonly secret: string;
  /** Rules that have its key pair shown; none for one that only has CAs. */
  readonly origins: readonly ObjectRef[];
}

function secretsAt(ctx: Ctx, grants: Grants, view: GatewayView, rules: readonly TrafficRule[]): readonly SecretReference[] {
  const origins = new Map<string, ObjectRef[]>();
  const add = (rule: TrafficRule, name: string, named: readonly ObjectRef[]): void => {
    const secret = readableCredential(ctx, grants, rule.ref.namespace, view.ref.namespace, name);
    if (secret !== undefined) origins.set(secret, [...(origins.get(secret) ?? []), ...named]);
  };
  for (const rule of rules) {
    for (const name of new Set(rule.credentials.map((c) => c.name))) {
      const shown = rule.credentials.some((c) => c.name === name && c.tls.mode === 'MUTUAL');
      add(rule, name, shown ? [rule.ref] : []);
      add(rule, caSecretOf(name), []);
    }
  }
  return [...origins].map(([secret, refs]) => ({ scope: view.key, secret, origins: refs }));
}

/** Apart from the key pairs of Gateways. */
function keyOfSecret(secret: string): string {
  return `credential|${secret}`;
}

function secretOf(key: string): string {
  return key.slice(key.indexOf('|') + 1);
}
