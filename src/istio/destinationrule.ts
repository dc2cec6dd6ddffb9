/**
 * DestinationRules as a waypoint reads them: those of its own namespace, else of the service's, else of the root namespace; of several for a host the
 * one with the most specific host, and of equals the oldest. Source: Istio, DestinationRule; istiod's lookup for waypoints.
 *
 *   [DestinationRule] -> TrafficRule, by namespace -> ruleFor(place) -> ClusterTraffic of a port
 *
 * Subsets are for VirtualServices, which name them: nothing else does, so they are not looked at.
 */
import { serviceHost } from '../ir/names.ts';
import type { ObjectRef } from '../ir/object-ref.ts';
import { compareText } from '../ir/precedence.ts';
import type { ClusterTraffic } from '../ir/traffic.ts';
import type { DestinationRule, TrafficPolicySettings } from '../kube/types/istio-networking.ts';
import { type SettingProblem, type TlsHost, trafficOf, unsupportedSettings } from './traffic-settings.ts';

/** A DestinationRule as it was read. */
export interface TrafficRule {
  /** `namespace/name`. */
  readonly key: string;
  readonly ref: ObjectRef;
  readonly generation: number;
  readonly created: string;
  /** In full; may begin with `*`. */
  readonly host: string;
  /** Namespaces that see it; `*`: all. */
  readonly visibleTo: readonly string[];
  readonly policy: TrafficPolicySettings;
  /** Instead of `policy`, whole. */
  readonly ports: ReadonlyMap<number, TrafficPolicySettings>;
  readonly problems: readonly SettingProblem[];
}

/** Reads a DestinationRule. Undefined for one that chooses its clients by labels: a waypoint is chosen by what it serves. */
export function parseDestinationRule(rule: DestinationRule): TrafficRule | undefined {
  const { name, namespace = '', generation = 0, creationTimestamp = '' } = rule.metadata;
  const { spec } = rule;
  if (spec.workloadSelector) return undefined;
  const { portLevelSettings = [], ...policy } = spec.trafficPolicy ?? {};
  const ports = portLevelSettings.flatMap((p, i) =>
    p.port?.number === undefined ? [] : [{ number: p.port.number, settings: p, index: i }],
  );
  return {
    key: `${namespace}/${name}`,
    ref: { group: 'networking.istio.io', kind: 'DestinationRule', namespace, name },
    generation,
    created: creationTimestamp,
    host: fullHost(spec.host, namespace),
    visibleTo: (spec.exportTo ?? ['*']).map((to) => (to === '.' ? namespace : to)),
    policy,
    ports: new Map(ports.map((p) => [p.number, p.settings])),
    problems: [
      ...unsupportedSettings(policy, 'spec.trafficPolicy'),
      ...ports.flatMap((p) => unsupportedSettings(p.settings, `spec.trafficPolicy.portLevelSettings[${p.index}]`)),
    ],
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
}

/** The rule of a host at a waypoint. `rulesIn` gives the rules of a namespace. */
export function ruleFor(place: RulePlace, rulesIn: (namespace: string) => readonly TrafficRule[]): TrafficRule | undefined {
  for (const namespace of new Set([place.client, place.service, place.root])) {
    const visible = rulesIn(namespace).filter((r) => covers(r.host, place.host) && isVisible(r, place.client));
    const [first] = visible.toSorted(bySpecificity);
    if (first) return first;
  }
  return undefined;
}

function isVisible({ visibleTo }: TrafficRule, namespace: string): boolean {
  return visibleTo.includes('*') || visibleTo.includes(namespace);
}

/** True when the host of a rule is, or its wildcard covers, this one. */
export function covers(pattern: string, host: string): boolean {
  return pattern === host || (pattern.startsWith('*') && host.endsWith(pattern.slice(1)) && host !== pattern.slice(1));
}

function bySpecificity(a: TrafficRule, b: TrafficRule): number {
  const wild = (r: TrafficRule): number => (r.host.startsWith('*') ? 1 : 0);
  return wild(a) - wild(b) || b.host.length - a.host.length || compareText(a.created, b.created) || compareText(a.key, b.key);
}

/** What a rule says of a port. Settings of the port stand for all others (Istio: portLevelSettings). */
export function trafficOfPort(rule: TrafficRule, port: number, host: TlsHost): ClusterTraffic {
  return trafficOf(rule.ports.get(port) ?? rule.policy, rule.ref, host);
}
