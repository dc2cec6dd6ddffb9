const duration = /^(?:\d+(?:\.\d+)?(?:h|ms|m|us|s|ns))+$/;
const part = /(\d+(?:\.\d+)?)(h|ms|m|us|s|ns)/g;
const unitMs: Readonly<Record<string, number>> = { h: 3_600_000, m: 60_000, s: 1000, ms: 1, us: 0.001, ns: 0.000_001 };

/** Milliseconds of `1h30m` or `0.5s`, as Go and protobuf's JSON write durations. Undefined for anything else. */
export function durationMs(text: string | undefined): number | undefined {
  if (text === undefined || !duration.test(text)) return undefined;
  return [...text.matchAll(part)].reduce((sum, [, amount, unit = '']) => sum + Number(amount) * (unitMs[unit] ?? 0), 0);
}
