/**
 * A route with its policies, at each place where it serves.
 *
 *   [RouteRules] + [RouteParents] + [TrafficPolicy]* -> ServedRoute -> HostRoutes, uses of clusters, outcomes of policies
 */
import { waypointChain } from '../ir/names.ts';
import { type ObjectRef, describeRef, refKey } from '../ir/object-ref.ts';
import type { HostRoutes, RouteRule } from '../ir/route.ts';
import type { RoutePolicies } from '../ir/policy.ts';
import type { Collection, Ctx, Index } from '../krt/index.ts';
import { type Attachments, attachmentsIn, listenerLevels, ruleLevels } from '../policy/attachment.ts';
import { type Effective } from '../policy/merge.ts';
import type { Policy } from '../policy/plugin.ts';
import { type Problem, describeProblems } from '../policy/problem.ts';
import type { PolicyAttachment } from '../policy/status.ts';
import { effectivePolicies, withOwnPolicies } from '../policy/trafficpolicy/trafficpolicy.ts';
import type { AttachedListener, ParentAttachment } from './attachment.ts';
import { entryOf, listenerOrigin } from './gateway-listener.ts';
import type { GatewayView } from './gateway.ts';
import type { RouteParents, RouteRules } from './route.ts';
import { type TranslatedRule, replacedBody } from './route-rule.ts';

export interface ServedRoute {
  readonly key: string;
  readonly hosts: readonly HostRoutes[];
  /** Clusters that proxies need for it. */
  readonly uses: readonly ClusterUse[];
  readonly attachments: readonly PolicyAttachment[];
  /** Rules that answer 500 because of a policy: what the status says, by rule. */
  readonly replaced: readonly Problem[];
}

export interface ClusterUse {
  readonly scope: string;
  readonly cluster: string;
  readonly route: string;
}

export interface ServedRouteInputs {
  readonly rules: Collection<RouteRules>;
  readonly gateways: Collection<GatewayView>;
  readonly policies: Collection<Policy<RoutePolicies>>;
  readonly policiesByTarget: Index<Policy<RoutePolicies>>;
}

const policyGroup = 'gateway.kgateway.dev';

/** Places a route. */
export function serveRoute(ctx: Ctx, inputs: ServedRouteInputs, route: RouteParents): ServedRoute | undefined {
  const translated = ctx.fetchOne(inputs.rules, route.key);
  if (!translated) return undefined;
  const attachments = attachmentsIn(ctx, inputs.policies, inputs.policiesByTarget);
  const place = new Placement(attachments, route, translated);
  for (const parent of route.parents) {
    const gateway = ctx.fetchOne(inputs.gateways, parent.gateway);
    if (gateway) place.at(gateway, parent);
  }
  return place.result();
}

/** Collects what comes of a route over its parents: state of one run of `serveRoute`. */
class Placement {
  readonly #hosts: HostRoutes[] = [];
  readonly #uses = new Map<string, ClusterUse>();
  readonly #outcomes = new Map<string, PolicyAttachment>();
  readonly #replaced = new Map<string, Problem>();
  readonly #attachments: Attachments<RoutePolicies>;
  readonly #route: RouteParents;
  readonly #translated: RouteRules;

  constructor(attachments: Attachments<RoutePolicies>, route: RouteParents, translated: RouteRules) {
    this.#attachments = attachments;
    this.#route = route;
    this.#translated = translated;
  }

  at(gateway: GatewayView, parent: ParentAttachment): void {
    for (const listener of parent.listeners) {
      if (listener.valid) this.#atListener(gateway, listener);
    }
  }

  result(): ServedRoute {
    return {
      key: this.#route.key,
      hosts: this.#hosts,
      uses: [...this.#uses.values()],
      attachments: [...this.#outcomes.values()],
      replaced: [...this.#replaced.values()],
    };
  }

  #atListener(gateway: GatewayView, listener: AttachedListener): void {
    const own = gateway.listeners.find((l) => (listener.listener === undefined ? l.chain === waypointChain : l.key === listener.listener));
    const set = own?.setLabels && { ref: own.owner, labels: own.setLabels };
    const ofListener = listenerLevels(this.#attachments, { ref: gateway.ref, labels: gateway.objectLabels }, own?.name, set);
    const ancestor = own?.owner ?? gateway.ref;
    const rules = this.#translated.rules.flatMap((t, i) => this.#rule(ancestor, ofListener, t, i) ?? []);
    for (const host of listener.hosts) {
      this.#hosts.push({
        scope: gateway.key,
        chain: listener.chain,
        host,
        owner: listener.owner,
        entry: listener.entry,
        order: this.#translated.order,
        rules,
        ...(listener.clientNamespace !== undefined && { clientNamespace: listener.clientNamespace }),
        origin: this.#route.ref,
      });
    }
    for (const { clusters } of this.#translated.rules) {
      for (const { name } of clusters) {
        this.#uses.set(`${gateway.key}|${name}`, { scope: gateway.key, cluster: name, route: this.#route.key });
      }
    }
  }

  #rule(
    ancestor: ObjectRef,
    ofListener: readonly (readonly Policy<RoutePolicies>[])[],
    translated: TranslatedRule,
    index: number,
  ): RouteRule | undefined {
    const { rule } = translated;
    if (!rule) return undefined;
    const missing = this.#extensionProblems(translated, index);
    const levels = [
      ...ruleLevels(
        this.#attachments,
        { ref: this.#route.ref, labels: this.#route.labels },
        { name: translated.section, extensionRefs: translated.extensionRefs.map((e) => e.name) },
      ),
      ...ofListener,
    ];
    if (missing.length === 0 && levels.every((level) => level.length === 0)) return rule;
    const effective = effectivePolicies(levels);
    this.#record(ancestor, effective);
    const problems = [
      ...missing,
      ...effective.invalid.map(({ policy, problems: found }) => ({
        field: `spec.rules[${index}]`,
        message: `${describeRef(policy)}: ${describeProblems(found)}`,
      })),
    ];
    if (problems.length === 0) return { ...rule, policies: withOwnPolicies(rule.policies, effective.policies) };
    for (const problem of problems) this.#replaced.set(`${problem.field} ${problem.message}`, problem);
    return { ...rule, action: { type: 'direct', status: 500, body: replacedBody }, policies: rule.policies };
  }

  #extensionProblems(translated: TranslatedRule, index: number): readonly Problem[] {
    const { namespace } = this.#route.ref;
    return translated.extensionRefs.flatMap(({ group, kind, name }): Problem[] => {
      const field = `spec.rules[${index}].filters`;
      if (group !== policyGroup || kind !== 'TrafficPolicy') {
        return [{ field, message: `extensionRef ${group}/${kind} is not supported; use ${policyGroup}/TrafficPolicy` }];
      }
      if (this.#attachments.named(namespace, name)) return [];
      return [{ field, message: `extensionRef: TrafficPolicy ${namespace}/${name} not found` }];
    });
  }

  #record(ancestor: ObjectRef, effective: Effective<RoutePolicies>): void {
    const outcomes: PolicyAttachment[] = [
      ...effective.outcomes.map(({ policy, state }) => ({ policy, ancestor, state })),
      ...effective.invalid.map(({ policy }) => ({ policy, ancestor, state: 'pending' as const })),
    ];
    for (const o of outcomes) this.#outcomes.set(`${refKey(o.policy)}|${refKey(ancestor)}|${o.state}`, o);
  }
}

/**
 * Hosts that listeners own where several share a chain, with or without routes: without them, a request for a listener without
 * routes would be served by a less specific one. Where each has a chain of its own, hostOwnership sees to that.
 */
export function listenerBoundaries(view: GatewayView): readonly HostRoutes[] {
  const valid = view.listeners.filter((l) => l.valid);
  return valid
    .filter((l) => valid.some((other) => other !== l && other.chain === l.chain))
    .map((l) => ({
      scope: view.key,
      chain: l.chain,
      host: l.hostname,
      owner: l.hostname,
      entry: entryOf(l),
      order: { created: '', key: '' },
      rules: [],
      origin: listenerOrigin(l),
    }));
}
