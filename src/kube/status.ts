// [status as it is] + [status as it should be] -> [status to write], pure. What others wrote into a shared status stays.
import type { Resource } from './resources.ts';
import { resourceName } from './resources.ts';
import type { ParentReference } from './types/gateway-api.ts';
import type { Condition, KubeObject } from './types/meta.ts';

/** A condition as we want it; the time is decided when it is written, the generation is that of the desired status. */
export type ConditionIntent = Omit<Condition, 'lastTransitionTime' | 'observedGeneration'>;

/** How much of a status is ours. */
export type StatusShape =
  /** `status.parents`: the entries of our controller name, exactly these. Others' entries stay. */
  | {
      readonly kind: 'parents';
      readonly controllerName: string;
      readonly entries: readonly { readonly parentRef: ParentReference; readonly conditions: readonly ConditionIntent[] }[];
    }
  /** `status.ancestors`: likewise. Gateway API allows 16 in all; those beyond are left out. */
  | {
      readonly kind: 'ancestors';
      readonly controllerName: string;
      readonly entries: readonly { readonly ancestorRef: ParentReference; readonly conditions: readonly ConditionIntent[] }[];
    }
  /** The fields of `status` exactly; fields that it does not name stay. Arrays called `conditions`, at any depth, hold intents. */
  | { readonly kind: 'whole'; readonly status: Readonly<Record<string, unknown>> }
  /** `status.conditions`: those of the types in `owned`; a type without an intent is removed. Others' conditions stay. */
  | {
      readonly kind: 'conditions';
      readonly owned: readonly string[];
      readonly conditions: readonly ConditionIntent[];
      /** Says nothing of what to write: it changes when they have to be written again. */
      readonly missing?: boolean;
    };

/** The status that an object should have. Emit one for every object that we may have written to, also with no entries: that clears ours. */
export interface DesiredStatus {
  /** `statusKey(resource, object)`. */
  readonly key: string;
  readonly resource: Resource;
  /** `namespace/name`. */
  readonly object: string;
  /** metadata.generation that it was computed from: becomes observedGeneration. Undefined for kinds that count none. */
  readonly generation: number | undefined;
  readonly status: StatusShape;
}

/** The key of an object's desired status. */
export function statusKey(resource: Resource, object: string): string {
  return `${resourceName(resource)}/${object}`;
}

type Json = Record<string, unknown>;

/** Limits of the CRDs (Gateway API: RouteStatus.parents, PolicyStatus.ancestors, metav1.Condition.message). */
const maxEntries = { parents: 32, ancestors: 16 };
const maxMessage = 32_768;

/**
 * The conditions to write: those desired, in their order. `lastTransitionTime` moves to `now` (RFC 3339, seconds) only when `status` changed.
 * Source: Kubernetes API conventions, typical status properties.
 */
export function mergeConditions(
  existing: readonly Condition[],
  desired: readonly ConditionIntent[],
  generation: number | undefined,
  now: string,
): readonly Condition[] {
  return desired.map(({ type, status, reason, message }) => {
    const old = existing.find((c) => c.type === type);
    return {
      type,
      status,
      reason,
      message: message.length > maxMessage ? `${message.slice(0, maxMessage - 3)}...` : message,
      ...(generation === undefined ? {} : { observedGeneration: generation }),
      lastTransitionTime: old?.status === status ? old.lastTransitionTime : now,
    };
  });
}

/** The fields of `status` to write, or undefined when the object has them already. */
export function mergeStatus(object: KubeObject, desired: DesiredStatus, now: string): Readonly<Json> | undefined {
  const existing = ((object as { status?: unknown }).status ?? {}) as Json;
  const next = clean(fieldsOf(existing, desired, now)) as Json;
  return Object.entries(next).every(([field, value]) => sameJson(existing[field], value)) ? undefined : next;
}

function fieldsOf(existing: Json, { status: shape, generation }: DesiredStatus, now: string): Json {
  switch (shape.kind) {
    case 'parents':
      return { parents: mergeEntries('parents', 'parentRef', existing, shape, generation, now) };
    case 'ancestors':
      return { ancestors: mergeEntries('ancestors', 'ancestorRef', existing, shape, generation, now) };
    case 'conditions': {
      const all = (existing['conditions'] ?? []) as readonly Condition[];
      const others = all.filter((c) => !shape.owned.includes(c.type));
      return { conditions: [...others, ...mergeConditions(all, shape.conditions, generation, now)] };
    }
    case 'whole':
      return mergeValue(existing, shape.status, generation, now) as Json;
    default:
      return shape satisfies never;
  }
}

interface Entry extends Json {
  readonly controllerName: string;
  readonly conditions?: readonly Condition[];
}

function mergeEntries(
  list: 'parents' | 'ancestors',
  ref: 'parentRef' | 'ancestorRef',
  existing: Json,
  shape: { readonly controllerName: string; readonly entries: readonly Json[] },
  generation: number | undefined,
  now: string,
): readonly Json[] {
  const all = (existing[list] ?? []) as readonly Entry[];
  const others = all.filter((e) => e.controllerName !== shape.controllerName);
  const mine = all.filter((e) => e.controllerName === shape.controllerName);
  const entries = shape.entries.map((e) => {
    const reference = withDefaults(e[ref] as ParentReference);
    const old = mine.find((m) => sameJson(withDefaults(m[ref] as ParentReference), reference));
    const conditions = mergeConditions(old?.conditions ?? [], e['conditions'] as readonly ConditionIntent[], generation, now);
    return { [ref]: reference, controllerName: shape.controllerName, conditions };
  });
  return [...others, ...entries].slice(0, Math.max(maxEntries[list], others.length));
}

/** A reference as the API server stores it, or a status that is right would seem to differ for ever. */
function withDefaults(ref: ParentReference): ParentReference {
  return { ...ref, group: ref.group ?? 'gateway.networking.k8s.io', kind: ref.kind ?? 'Gateway' };
}

/** `desired` with the times of `existing`: elements of lists are matched by name or reference. */
function mergeValue(existing: unknown, desired: unknown, generation: number | undefined, now: string, field = ''): unknown {
  if (Array.isArray(desired)) {
    const old = (Array.isArray(existing) ? existing : []) as readonly Json[];
    if (field === 'conditions') return mergeConditions(old as unknown as Condition[], desired as ConditionIntent[], generation, now);
    return desired.map((item: unknown) => {
      const identity = identityOf(item);
      const match = identity === undefined ? undefined : old.find((o) => identityOf(o) === identity);
      return mergeValue(match, item, generation, now);
    });
  }
  if (typeof desired !== 'object' || desired === null) return desired;
  const old = (typeof existing === 'object' ? existing : undefined) as Json | undefined;
  return Object.fromEntries(Object.entries(desired).map(([name, value]) => [name, mergeValue(old?.[name], value, generation, now, name)]));
}

function identityOf(item: unknown): string | undefined {
  if (typeof item !== 'object' || item === null) return undefined;
  const { name, parentRef, ancestorRef } = item as Json;
  if (typeof name === 'string') return name;
  const ref = (parentRef ?? ancestorRef) as ParentReference | undefined;
  return ref
    ? `${ref.group ?? ''}/${ref.kind ?? ''}/${ref.namespace ?? ''}/${ref.name}/${ref.sectionName ?? ''}/${ref.port ?? ''}`
    : undefined;
}

/** Without undefined fields, as JSON would carry it. */
function clean(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(clean);
  if (typeof value !== 'object' || value === null) return value;
  const present: Json = {};
  for (const [field, v] of Object.entries(value)) if (v !== undefined) present[field] = clean(v);
  return present;
}

/** Equality of JSON values; the order of fields does not count. */
export function sameJson(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a)) return Array.isArray(b) && a.length === b.length && a.every((item, i) => sameJson(item, b[i]));
  const keys = Object.keys(a).filter((k) => (a as Json)[k] !== undefined);
  const others = Object.keys(b).filter((k) => (b as Json)[k] !== undefined);
  return !Array.isArray(b) && keys.length === others.length && keys.every((k) => sameJson((a as Json)[k], (b as Json)[k]));
}
