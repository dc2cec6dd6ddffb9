/**
 * DestinationRules as a waypoint reads them. Source: Istio, DestinationRule; istiod's lookup for waypoints.
 *
 *   namespace of the waypoint, else of the service, else root ─> rules that it sees ─> most specific host ─> the oldest with a trafficPolicy
 *   [DestinationRule] -> TrafficRule ──────────────────────────────────────────────────> ruleFor(place) -> ClusterTraffic of a port
 *
 * Subsets have no effect: they are for VirtualServices, and nothing of the Gateway API can name one.
 */
import { serviceHost } from '../ir/names.ts';
import type { ObjectRef } from '../ir/object-ref.ts';
import { compareText } from '../ir/precedence.ts';
import type { ClusterTraffic } from '../ir/traffic.ts';
import type { DestinationRule, TrafficPolicySettings } from '../kube/types/istio-networking.ts';
import { type PolicyObject, type PolicyProblem, policyObject } from './policy.ts';
import { trafficOf, unsupportedSettings } from './traffic-settings.ts';
import { type TlsBackend, type TlsSettings, credentialName } from './traffic-tls.ts';

/** A DestinationRule as it was read. */
export interface TrafficRule extends PolicyObject {
  /** `namespace/name`. */
  readonly key: string;
  /** In full; may begin with `*`. */
  readonly host: string;
  /** Namespaces that see it; `*`: all. Absent: as MeshConfig says. */
  readonly visibleTo?: readonly string[];
  /** Absent: it has none, so another rule of the host may have. */
  readonly traffic?: RuleTraffic;
  /** It chooses its clients by labels, and no waypoint is chosen so. */
  readonly selecting: boolean;
  /** Its TLS settings that name Secrets. */
  readonly credentials: readonly CredentialUse[];
  readonly problems: readonly PolicyProblem[];
}

interface RuleTraffic {
  readonly policy: TrafficPolicySettings;
  /** Instead of `policy`, whole. */
  readonly ports: ReadonlyMap<number, TrafficPolicySettings>;
}

/** Reads a DestinationRule. */
export function parseDestinationRule(rule: DestinationRule): TrafficRule {
  const { name, namespace = '' } = rule.metadata;
  const { spec } = rule;
  const { portLevelSettings = [], ...policy } = spec.trafficPolicy ?? {};
  const ports = portLevelSettings.flatMap((p, i) =>
    p.port?.number === undefined ? [] : [{ number: p.port.number, settings: p, index: i }],
  );
  // Of several settings for a port the first holds.
  const traffic = spec.trafficPolicy && { policy, ports: new Map(ports.toReversed().map((p) => [p.number, p.settings])) };
  return {
    ...policyObject('networking.istio.io', 'DestinationRule', rule.metadata),
    key: `${namespace}/${name}`,
    host: fullHost(spec.host, namespace),
    ...(spec.exportTo?.length && { visibleTo: spec.exportTo.map((to) => (to === '.' ? namespace : to)) }),
    ...(traffic && { traffic }),
    selecting: spec.workloadSelector !== undefined,
    credentials: traffic && !spec.workloadSelector ? credentialUses(traffic) : [],
    problems: spec.workloadSelector
      ? [{ field: 'spec.workloadSelector', message: 'is for sidecars: the rule has no effect at waypoints' }]
      : [
          ...unsupportedSettings(policy, 'spec.trafficPolicy'),
          ...ports.flatMap((p) => unsupportedSettings(p.settings, `spec.trafficPolicy.portLevelSettings[${p.index}]`)),
          ...(spec.subsets?.length ? [unreachableSubsets(spec.host)] : []),
        ],
  };
}

function unreachableSubsets(host: string): PolicyProblem {
  const remedy = 'make a Service for each, with its labels in the selector, and name that in backendRefs';
  return {
    field: 'spec.subsets',
    message: `has no effect, as no route of the Gateway API can name a subset of ${host}: ${remedy}; a DestinationRule for the host of that Service has its settings`,
  };
}

/** A name without dots is that of a Service of the rule's namespace. */
function fullHost(host: string, namespace: string): string {
  return host.includes('.') || host.startsWith('*') ? host.toLowerCase() : serviceHost(namespace, host);
}

/** Where a rule is looked for. */
export interface RulePlace {
  /** Namespace of the waypoint. */
  readonly client: string;
  /** Namespace of the service. */
  readonly service: string;
  readonly root: string;
  readonly host: string;
  /** Namespaces that see rules without exportTo (MeshConfig.defaultDestinationRuleExportTo). */
  readonly visibleByDefault: readonly string[];
}

/** The rule of a host at a waypoint. `rulesIn` gives the rules of a namespace. */
export function ruleFor(place: RulePlace, rulesIn: (namespace: string) => readonly TrafficRule[]): TrafficRule | undefined {
  const { client, service, root } = place;
  // Rules of the root namespace are for all; only what is for nobody else is meant for a waypoint in it.
  const own = client === root ? seen(root).filter((r) => isPrivate(visibilityOf(r, place), root)) : seen(client);
  if (own.length > 0) return holding(own);
  const ofService = service === client && client !== root ? [] : seen(service);
  if (ofService.length > 0) return holding(ofService);
  return root === service ? undefined : holding(seen(root));

  // Most services have none: this is asked for every change of their endpoints.
  function seen(namespace: string): readonly TrafficRule[] {
    const rules = rulesIn(namespace);
    return rules.length === 0
      ? rules
      : rules.filter((r) => !r.selecting && covers(r.host, place.host) && isVisible(visibilityOf(r, place), client));
  }
}

/** Of rules for a host the oldest with settings, among those with the most specific host. */
function holding(rules: readonly TrafficRule[]): TrafficRule | undefined {
  const found = rules.toSorted(bySpecificity);
  return found.find((r) => r.host === found[0]?.host && r.traffic);
}

/** The namespaces that see a rule. */
function visibilityOf(rule: TrafficRule, { visibleByDefault }: Pick<RulePlace, 'visibleByDefault'>): readonly string[] {
  return rule.visibleTo ?? visibleByDefault.map((to) => (to === '.' ? rule.ref.namespace : to));
}

/** True when the rule is visible to the namespace. */
export function sees(namespace: string, rule: TrafficRule, place: Pick<RulePlace, 'visibleByDefault'>): boolean {
  return isVisible(visibilityOf(rule, place), namespace);
}

function isVisible(visibleTo: readonly string[], namespace: string): boolean {
  return visibleTo.includes('*') || visibleTo.includes(namespace);
}

function isPrivate(visibleTo: readonly string[], namespace: string): boolean {
  return visibleTo.every((to) => to === namespace);
}

/** True when the host of a rule is, or its wildcard covers, this one. */
export function covers(pattern: string, host: string): boolean {
  return pattern === host || (pattern.startsWith('*') && host.endsWith(pattern.slice(1)) && host !== pattern.slice(1));
}

function bySpecificity(a: TrafficRule, b: TrafficRule): number {
  const wild = (r: TrafficRule): number => (r.host.startsWith('*') ? 1 : 0);
  return wild(a) - wild(b) || b.host.length - a.host.length || byAge(a, b);
}

function byAge(a: TrafficRule, b: TrafficRule): number {
  return compareText(a.created, b.created) || compareText(a.key, b.key);
}

/** An older rule of the same host and namespace, whose settings hold instead. */
export interface RuleConflict {
  readonly winner: ObjectRef;
  /** False: there are namespaces that see this rule and not the winner. */
  readonly everywhere: boolean;
}

/** The rule that has the host instead of this one. `others` are those of its namespace for its host. */
export function conflictOf(
  rule: TrafficRule,
  others: readonly TrafficRule[],
  place: Pick<RulePlace, 'visibleByDefault'>,
): RuleConflict | undefined {
  if (rule.selecting || !rule.traffic) return undefined;
  const own = visibilityOf(rule, place);
  const older = others
    .filter((o) => o.host === rule.host && !o.selecting && o.traffic && byAge(o, rule) < 0)
    .map((o) => ({ ref: o.ref, visibleTo: visibilityOf(o, place) }))
    .filter(({ visibleTo }) => visibleTo.includes('*') || own.includes('*') || own.some((ns) => visibleTo.includes(ns)));
  const whole = older.find(({ visibleTo }) => visibleTo.includes('*') || own.every((ns) => visibleTo.includes(ns)));
  const [first] = older;
  return whole ? { winner: whole.ref, everywhere: true } : first && { winner: first.ref, everywhere: false };
}

/** What a rule says of a port. Settings of the port stand for all others (Istio: portLevelSettings). */
export function trafficOfPort(rule: TrafficRule, port: number, backend: TlsBackend): ClusterTraffic {
  return trafficOf(rule.traffic?.ports.get(port) ?? rule.traffic?.policy ?? {}, rule.ref, backend);
}

/** TLS settings that name a Secret, each with its field. */
export interface CredentialUse {
  readonly field: string;
  readonly name: string;
  readonly tls: TlsSettings;
}

function credentialUses({ policy, ports }: RuleTraffic): readonly CredentialUse[] {
  const all = [
    { tls: policy.tls, field: 'spec.trafficPolicy.tls.credentialName' },
    ...[...ports].map(([port, { tls }]) => ({ tls, field: `spec.trafficPolicy.portLevelSettings of port ${port}: tls.credentialName` })),
  ];
  return all.flatMap(({ tls, field }) => {
    const name = credentialName(tls);
    return tls && name !== undefined ? [{ field, name, tls }] : [];
  });
}
