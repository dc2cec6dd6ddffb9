// [targetRefs, targetSelectors of all policies of a kind] -> index by target -> [levels of a place, most specific first]
// Route levels and Gateway levels are merged apart: the latter go to Envoy's RouteConfiguration, where a route overrides them.
import { type ObjectRef, refKey } from '../ir/object-ref.ts';
import type { Collection, Ctx, Index } from '../krt/index.ts';
import type { Policy, PolicyTarget } from './plugin.ts';

/** An object, or with `ref.section` a part of one, that policies may be attached to. */
export interface AttachmentPoint {
  readonly ref: ObjectRef;
  /** Labels of the object, for `targetSelectors`. */
  readonly labels?: Readonly<Record<string, string>> | undefined;
}

/** Where policies are looked up. */
export interface Attachments<Fields extends object> {
  /** Policies of exactly this point: with a section, those of the section and not those of the whole object. */
  readonly at: (point: AttachmentPoint) => readonly Policy<Fields>[];
  /** The policy `namespace/name`, for an ExtensionRef filter. */
  readonly named: (namespace: string, name: string) => Policy<Fields> | undefined;
}

/** Index keys of a policy: one for each target by name; one for each kind (and section) that it selects by labels. */
export function attachmentKeys(policy: Policy<object>): readonly string[] {
  return [...new Set(policy.targets.map((t) => (t.by === 'name' ? refKey(t.ref) : selectorKey(t.group, t.kind, t.namespace, t.section))))];
}

function selectorKey(group: string, kind: string, namespace: string, section: string | undefined): string {
  return `selected:${refKey({ group, kind, namespace, name: '*', ...(section !== undefined && { section }) })}`;
}

function selects(target: PolicyTarget, point: AttachmentPoint): boolean {
  if (target.by !== 'labels') return false;
  const { ref, labels = {} } = point;
  if (target.group !== ref.group || target.kind !== ref.kind || target.namespace !== ref.namespace || target.section !== ref.section)
    return false;
  return Object.entries(target.matchLabels).every(([key, value]) => labels[key] === value);
}

/** Policies in a collection keyed by `namespace/name`; `byTarget` is its index over `attachmentKeys`. Lookups are dependencies of `ctx`. */
export function attachmentsIn<Fields extends object>(
  ctx: Ctx,
  policies: Collection<Policy<Fields>>,
  byTarget: Index<Policy<Fields>>,
): Attachments<Fields> {
  return {
    named: (namespace, name) => ctx.fetchOne(policies, `${namespace}/${name}`),
    at: (point) => {
      const { group, kind, namespace, section } = point.ref;
      const byName = ctx.fetch(policies, { index: byTarget, is: refKey(point.ref) });
      const byLabels = ctx.fetch(policies, {
        index: byTarget,
        is: selectorKey(group, kind, namespace, section),
        where: (p) => p.targets.some((t) => selects(t, point)),
      });
      return byLabels.length === 0 ? byName : [...new Set([...byName, ...byLabels])];
    },
  };
}

/** The part of a rule that policies are attached to. */
export interface RulePoint {
  /** Name of the rule, for `sectionName`. */
  readonly name?: string | undefined;
  /** Names of policies of this kind in its ExtensionRef filters; they are of the namespace of the route. */
  readonly extensionRefs?: readonly string[];
}

/** Levels of a rule of a route: ExtensionRef filters, policies of the rule by `sectionName`, policies of the route. Missing ExtensionRefs are left out. */
export function ruleLevels<Fields extends object>(
  attachments: Attachments<Fields>,
  route: AttachmentPoint,
  rule: RulePoint,
): readonly (readonly Policy<Fields>[])[] {
  const { namespace } = route.ref;
  const extensions = (rule.extensionRefs ?? []).flatMap((name) => attachments.named(namespace, name) ?? []);
  return [extensions, rule.name === undefined ? [] : attachments.at(section(route, rule.name)), attachments.at(route)];
}

/**
 * Levels of a listener, or with no listener name of the whole Gateway. With `listenerSet` the listener is one of it; the set's own policies
 * come between those of its listener and those of the Gateway.
 */
export function listenerLevels<Fields extends object>(
  attachments: Attachments<Fields>,
  gateway: AttachmentPoint,
  listener?: string,
  listenerSet?: AttachmentPoint,
): readonly (readonly Policy<Fields>[])[] {
  const owner = listenerSet ?? gateway;
  return [
    ...(listener === undefined ? [] : [attachments.at(section(owner, listener))]),
    ...(listenerSet ? [attachments.at(listenerSet)] : []),
    attachments.at(gateway),
  ];
}

function section(point: AttachmentPoint, name: string): AttachmentPoint {
  return { ref: { ...point.ref, section: name }, labels: point.labels };
}
