// [Transformation] of a more specific policy + [Transformation] of a less specific one -> both in one (kgateway: DeepMerge*)
import type { HeaderTemplate, MessageTransformation, Transformation } from '../../ir/transformation.ts';

/** Joins two transformations, message by message. */
export function mergeTransformations(higher: Transformation, lower: Transformation): Transformation {
  const request = mergeMessages(higher.request, lower.request);
  const response = mergeMessages(higher.response, lower.response);
  return { ...(request && { request }), ...(response && { response }) };
}

/** A header or a body that both write is the higher one's. Messages that see the body in different forms cannot be joined: the higher one stays. */
function mergeMessages(
  higher: MessageTransformation | undefined,
  lower: MessageTransformation | undefined,
): MessageTransformation | undefined {
  if (!higher || !lower) return higher ?? lower;
  if (higher.parseAs !== lower.parseAs) return higher;
  const body = higher.body ?? lower.body;
  const key = (m: { readonly namespace: string; readonly key: string }): string => `${m.namespace}|${m.key}`;
  return {
    set: [...higher.set, ...without(lower.set, higher.set)],
    add: [...higher.add, ...lower.add],
    remove: [...new Set([...higher.remove, ...lower.remove])],
    ...(body && { body }),
    parseAs: higher.parseAs,
    buffered: higher.buffered || lower.buffered,
    metadata: [...higher.metadata, ...lower.metadata.filter((m) => !higher.metadata.some((h) => key(h) === key(m)))],
    requestHeaders: [...new Set([...higher.requestHeaders, ...lower.requestHeaders])],
  };
}

function without(headers: readonly HeaderTemplate[], names: readonly HeaderTemplate[]): readonly HeaderTemplate[] {
  return headers.filter((h) => !names.some((n) => n.name === h.name));
}
