/**
 * A route with its policies, at each place where it serves.
 *
 *   [RouteRules] + [RouteParents] + [TrafficPolicy]* -> ServedRoute -> HostRoutes, uses of clusters, outcomes of policies
 *        └─ with the rules that delegate to them (delegated-rule.ts)
 */
import { waypointChain } from '../ir/names.ts';
import { type ObjectRef, describeRef, refKey } from '../ir/object-ref.ts';
import type { HostRoutes, RouteRule } from '../ir/route.ts';
import type { RoutePolicies } from '../ir/policy.ts';
import type { Collection, Ctx, Index } from '../krt/index.ts';
import { type Attachments, attachmentsIn, listenerLevels, ruleLevels } from '../policy/attachment.ts';
import type { Effective } from '../policy/merge.ts';
import type { Policy } from '../policy/plugin.ts';
import { type Problem, describeProblems } from '../policy/problem.ts';
import { kgatewayGroup } from '../policy/schema.ts';
import type { PolicyAttachment } from '../policy/status.ts';
import { effectivePolicies, inheritedPolicies, withOwnPolicies } from '../policy/trafficpolicy/trafficpolicy.ts';
import type { AttachedListener, ParentAttachment } from './attachment.ts';
import { type ParentRule, delegatedRule, leftOver } from './delegated-rule.ts';
import { type DelegationPath, fulfilmentKey } from './delegation.ts';
import { isDirectResponse } from './direct-response.ts';
import type { GatewayView } from './gateway.ts';
import type { RouteParents, RouteRules } from './route.ts';
import { type Delegate, type TranslatedRule, type UnresolvedRef, replacedBody } from './route-rule.ts';

export interface ServedRoute {
  readonly key: string;
  readonly hosts: readonly HostRoutes[];
  /** Clusters that proxies need for it. */
  readonly uses: readonly ClusterUse[];
  readonly attachments: readonly PolicyAttachment[];
  /** Rules that answer 500 because of a policy: what the status says, by rule. */
  readonly replaced: readonly Problem[];
  /** References to other HTTPRoutes that none of them fulfils. */
  readonly unresolved: readonly UnresolvedRef[];
  /** InferencePools that it leads to. Absent: none. */
  readonly pools?: readonly PoolUse[];
}

/** An InferencePool behind a route at a Gateway: keys of both. */
export interface PoolUse {
  readonly pool: string;
  readonly gateway: string;
  /** The Gateway accepts the route. */
  readonly accepted: boolean;
  /** Its proxies cannot send to an endpoint that somebody else picked. */
  readonly unsupported?: true;
}

export interface ClusterUse {
  readonly scope: string;
  readonly cluster: string;
  readonly route: string;
}

export interface ServedRouteInputs {
  readonly rules: Collection<RouteRules>;
  /** References that delegate and have a child. */
  readonly fulfilled: Collection<{ readonly key: string }>;
  readonly gateways: Collection<GatewayView>;
  readonly policies: Collection<Policy<RoutePolicies>>;
  readonly policiesByTarget: Index<Policy<RoutePolicies>>;
}

/** Places a route. */
export function serveRoute(ctx: Ctx, inputs: ServedRouteInputs, route: RouteParents): ServedRoute | undefined {
  const translated = ctx.fetchOne(inputs.rules, route.key);
  if (!translated) return undefined;
  const attachments = attachmentsIn(ctx, inputs.policies, inputs.policiesByTarget);
  const place = new Placement(
    {
      attachments,
      ruleOf: (key, index) => ctx.fetchOne(inputs.rules, key)?.rules[index],
      isFulfilled: (rule, ref) => ctx.fetchOne(inputs.fulfilled, fulfilmentKey(route.key, rule, ref)) !== undefined,
    },
    route,
    translated,
  );
  for (const parent of route.parents) {
    const gateway = ctx.fetchOne(inputs.gateways, parent.gateway);
    if (gateway) place.at(gateway, parent);
  }
  return place.result();
}

/** What a route is looked up in. */
interface Lookups {
  readonly attachments: Attachments<RoutePolicies>;
  /** A rule of another route. */
  readonly ruleOf: (route: string, rule: number) => TranslatedRule | undefined;
  /** Whether a reference of the route to other routes has a child. */
  readonly isFulfilled: (rule: number, ref: number) => boolean;
}

/** A rule with its route and its place there. */
interface RuleInRoute {
  readonly route: Pick<RouteParents, 'ref' | 'labels'>;
  readonly index: number;
  readonly translated: TranslatedRule;
}

type Levels = readonly (readonly Policy<RoutePolicies>[])[];

/** A rule that delegates to the route, or to one above it, with its policies. */
interface RuleAbove extends RuleInRoute, ParentRule {
  readonly levels: Levels;
}

/** What is the same for all rules of a route at a listener. */
interface Place {
  readonly ancestor: ObjectRef;
  readonly ofListener: Levels;
  readonly delegation: DelegationPath | undefined;
  /** The nearest first; none where nobody delegates. */
  readonly above: readonly RuleAbove[];
}

/** Endpoints behind tunnels have other addresses for Envoy than the Pods that a picker names. */
function followsPickers({ entrance }: GatewayView): boolean {
  return entrance?.hbone !== true;
}

/** The rule with the shares of pools as invalid where pickers cannot be followed. */
function withoutPickers(rule: RouteRule): RouteRule {
  const { action } = rule;
  if (action.type !== 'forward' || !action.backends.some((b) => b.picker)) return rule;
  const backends = action.backends.map(({ cluster, picker, ...b }) => (picker || cluster === undefined ? b : { ...b, cluster }));
  return { ...rule, action: { ...action, backends } };
}

/** Collects what comes of a route over its parents: state of one run of `serveRoute`. */
class Placement {
  readonly #hosts = new Map<string, HostRoutes>();
  readonly #uses = new Map<string, ClusterUse>();
  readonly #outcomes = new Map<string, PolicyAttachment>();
  readonly #replaced = new Map<string, Problem>();
  readonly #unresolved = new Map<string, UnresolvedRef>();
  readonly #lookups: Lookups;
  readonly #pools: PoolUse[] = [];
  readonly #route: RouteParents;
  readonly #translated: RouteRules;

  constructor(lookups: Lookups, route: RouteParents, translated: RouteRules) {
    this.#lookups = lookups;
    this.#route = route;
    this.#translated = translated;
  }

  at(gateway: GatewayView, parent: ParentAttachment): void {
    for (const listener of parent.listeners) {
      if (listener.valid) this.#atListener(gateway, listener, parent.delegation);
    }
    for (const pool of new Set(this.#translated.rules.flatMap((r) => r.pools ?? []))) {
      const accepted = parent.acceptance.status === 'True';
      this.#pools.push({ pool, gateway: gateway.key, accepted, ...(!followsPickers(gateway) && { unsupported: true }) });
    }
  }

  result(): ServedRoute {
    return {
      key: this.#route.key,
      hosts: [...this.#hosts.values()],
      uses: [...this.#uses.values()],
      attachments: [...this.#outcomes.values()],
      replaced: [...this.#replaced.values()],
      unresolved: [...this.#unresolved.values()],
      ...(this.#pools.length > 0 && { pools: this.#pools }),
    };
  }

  #atListener(gateway: GatewayView, listener: AttachedListener, delegation: DelegationPath | undefined): void {
    const own = gateway.listeners.find((l) => (listener.listener === undefined ? l.chain === waypointChain : l.key === listener.listener));
    const set = own?.setLabels && { ref: own.owner, labels: own.setLabels };
    const ofListener = listenerLevels(this.#lookups.attachments, { ref: gateway.ref, labels: gateway.objectLabels }, own?.name, set);
    const above = this.#rulesAbove(delegation);
    const place = above && { ancestor: own?.owner ?? gateway.ref, ofListener, delegation, above };
    const all = place ? this.#translated.rules.flatMap((t, i) => this.#rule(place, t, i) ?? []) : [];
    const rules = followsPickers(gateway) ? all : all.map(withoutPickers);
    for (const host of listener.hosts) {
      this.#add({
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

  /**
   * Two listeners of one chain may serve a route under the same host only when it is theirs alike; so the same rules are one. A route that several
   * rules delegate to has rules for each of them.
   */
  #add(host: HostRoutes): void {
    const key = hostRoutesKey(host);
    const there = this.#hosts.get(key);
    const more = there ? host.rules.filter((r) => !there.rules.some((t) => t.name === r.name)) : [];
    if (!there) this.#hosts.set(key, host);
    else if (more.length > 0) this.#hosts.set(key, { ...there, rules: [...there.rules, ...more] });
  }

  #rule({ ancestor, ofListener, delegation, above }: Place, translated: TranslatedRule, index: number): RouteRule | undefined {
    const { rule: own } = translated;
    if (!own || delegation?.matches[index]?.length === 0) return undefined;
    const rule = delegation ? delegatedRule(own, delegation.matches[index] ?? [], above) : own;
    const served = translated.delegates ? leftOver(rule, this.#unfulfilled(translated.delegates, index)) : rule;

    if (served) this.#recordDirectResponses(ancestor, translated);
    const here: RuleInRoute = { route: this.#route, index, translated };
    const missing = [...this.#extensionProblems(here), ...above.flatMap((r) => this.#problemsAbove(r, index))];
    const levels = this.#levels(here);
    const bare = above.length === 0 && [levels, ofListener].every((l) => l.every((level) => level.length === 0));
    if (bare && missing.length === 0) return served;
    const effective =
      above.length === 0
        ? effectivePolicies([...levels, ...ofListener])
        : inheritedPolicies(
            { rule: own.origin, own: own.policies, levels },
            above.map((r) => ({ rule: r.rule.origin, own: r.rule.policies, levels: r.levels, priority: r.priority })),
            ofListener,
          );
    if (served) this.#record(ancestor, effective);
    const problems = [
      ...missing,
      ...effective.invalid.map(({ policy, problems: found }) => ({
        field: `spec.rules[${index}]`,
        message: `${describeRef(policy)}: ${describeProblems(found)}`,
      })),
    ];
    if (problems.length === 0) {
      const policies = above.length === 0 ? withOwnPolicies(own.policies, effective.policies) : effective.policies;
      return served && { ...served, policies };
    }
    for (const problem of problems) this.#replaced.set(`${problem.field} ${problem.message}`, problem);
    return {
      ...(served ?? { ...rule, yields: true }),
      action: { type: 'direct', status: 500, body: replacedBody },
      policies: rule.policies,
    };
  }

  /** The rules above, the nearest first. Undefined when one is gone: the route is settled anew in this flush. */
  #rulesAbove(delegation: DelegationPath | undefined): readonly RuleAbove[] | undefined {
    const above = (delegation?.steps ?? []).flatMap((step): RuleAbove[] => {
      const translated = this.#lookups.ruleOf(step.route, step.rule);
      if (!translated?.rule) return [];
      const here = { route: { ref: step.ref, labels: step.labels }, index: step.rule, translated };
      return [{ ...here, rule: translated.rule, priority: step.priority, levels: this.#levels(here) }];
    });
    return above.length === (delegation?.steps.length ?? 0) ? above : undefined;
  }

  #unfulfilled(delegates: readonly Delegate[], index: number): readonly Delegate[] {
    const unfulfilled = delegates.filter((d) => !this.#lookups.isFulfilled(index, d.ref));
    for (const { target } of unfulfilled) {
      const message = `${target}: unresolved reference; no HTTPRoute that it selects has a match within spec.rules[${index}], whose paths must be of type PathPrefix`;
      this.#unresolved.set(message, { reason: 'BackendNotFound', message });
    }
    return unfulfilled;
  }

  #levels({ route, translated }: RuleInRoute): Levels {
    return ruleLevels(this.#lookups.attachments, route, {
      name: translated.section,
      extensionRefs: translated.extensionRefs.filter((e) => !isDirectResponse(e)).map((e) => e.name),
    });
  }

  /** What is wrong with a rule above is wrong with everything that it delegates: nothing is served without a part of its policy. */
  #problemsAbove(above: RuleAbove, index: number): readonly Problem[] {
    const problems = [...above.translated.replaced, ...this.#extensionProblems(above)];
    return problems.map(({ field, message }) => ({
      field: `spec.rules[${index}]`,
      message: `${describeRef(above.route.ref)} ${field}: ${message}`,
    }));
  }

  #extensionProblems({ route, index, translated }: RuleInRoute): readonly Problem[] {
    const { namespace } = route.ref;
    return translated.extensionRefs.flatMap((ref): Problem[] => {
      const { group, kind, name } = ref;
      // What is wrong with it is known since the rule was translated.
      if (isDirectResponse(ref)) return [];
      const field = `spec.rules[${index}].filters`;
      if (group !== kgatewayGroup || kind !== 'TrafficPolicy') {
        return [
          { field, message: `extensionRef ${group}/${kind} is not supported; use TrafficPolicy or DirectResponse of ${kgatewayGroup}` },
        ];
      }
      if (this.#lookups.attachments.named(namespace, name)) return [];
      return [{ field, message: `extensionRef: TrafficPolicy ${namespace}/${name} not found` }];
    });
  }

  #recordDirectResponses(ancestor: ObjectRef, { extensionRefs, replaced }: TranslatedRule): void {
    const state = replaced.length > 0 ? 'pending' : 'attached';
    for (const { group, kind, name } of extensionRefs.filter(isDirectResponse)) {
      const policy = { group, kind, namespace: this.#route.ref.namespace, name };
      this.#outcomes.set(`${refKey(policy)}|${refKey(ancestor)}|${state}`, { policy, ancestor, state });
    }
  }

  #record(ancestor: ObjectRef, effective: Effective<RoutePolicies>): void {
    const outcomes: PolicyAttachment[] = [
      ...effective.outcomes.map(({ policy, state }) => ({ policy, ancestor, state })),
      ...effective.invalid.map(({ policy }) => ({ policy, ancestor, state: 'pending' as const })),
    ];
    for (const o of outcomes) this.#outcomes.set(`${refKey(o.policy)}|${refKey(ancestor)}|${o.state}`, o);
  }
}

/** Key of what one route serves under one host. */
export function hostRoutesKey(h: HostRoutes): string {
  return `${h.scope}|${h.chain}|${h.host}|${h.owner}|${refKey(h.origin)}`;
}
