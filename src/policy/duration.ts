import type { Problem } from './problem.ts';

/** Gateway API Duration (GEP-2257): up to four numbers of at most five digits, each with a unit. */
export const durationPattern = '^([0-9]{1,5}(h|m|s|ms)){1,4}$';

const duration = new RegExp(durationPattern);
const part = /([0-9]+)(h|ms|m|s)/g;
const unitMs: Readonly<Record<string, number>> = { h: 3_600_000, m: 60_000, s: 1000, ms: 1 };

/** Milliseconds of a Gateway API duration such as `1h30m` or `500ms`; undefined when it is not one. */
export function durationMs(text: string): number | undefined {
  if (typeof text !== 'string' || !duration.test(text)) return undefined;
  let ms = 0;
  for (const [, digits, unit] of text.matchAll(part)) ms += Number(digits) * (unitMs[unit ?? ''] ?? 0);
  return ms;
}

/** Said of every duration that does not parse. */
export function invalidDuration(text: string): string {
  return `invalid duration value ${JSON.stringify(text)}; write whole numbers with units h, m, s or ms, such as 500ms, 10s or 1h30m`;
}

/** Milliseconds of the duration at `field`, if there is one; what is wrong with it goes to `problems`. `leastMs` is its lower bound. */
export function parseDuration(text: string | undefined, field: string, problems: Problem[], leastMs = 0): number | undefined {
  if (text === undefined) return undefined;
  const ms = durationMs(text);
  if (ms === undefined) problems.push({ field, message: invalidDuration(text) });
  else if (ms < leastMs) problems.push({ field, message: `${text} is too short; must be at least ${leastMs}ms` });
  else return ms;
  return undefined;
}
