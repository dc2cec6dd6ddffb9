// [TrafficPolicy] -> [Policy<RoutePolicies>]: units are made one, defaults filled in, what is wrong is named with its remedy.
import type { HeaderModifiers, LocalRateLimit, RequestBuffer, RetryPolicy, RoutePolicies, Timeouts } from '../../ir/policy.ts';
import { corsPolicy } from '../cors.ts';
import { durationMs, parseDuration } from '../duration.ts';
import { headerModifier } from '../headers.ts';
import { type Policy, policyMetadata, type PolicyTarget } from '../plugin.ts';
import type { Parsed, Problem } from '../problem.ts';
import { quantityValue } from '../quantity.ts';
import type { SecretLookup } from '../secret-header.ts';
import { parseTransformation } from '../transformation/transformation.ts';
import { weightAnnotation } from '../weight-annotation.ts';
import { retryConditions, type TrafficPolicy, type TrafficPolicySpec } from './schema.ts';

/** Annotation: policies of the same level with a higher weight come first. */
const policyWeightAnnotation = 'kgateway.dev/policy-weight';

/** Fields of the spec that this version acts on. */
const supported: ReadonlySet<string> = new Set<keyof TrafficPolicySpec>([
  'targetRefs',
  'targetSelectors',
  'timeouts',
  'retry',
  'headerModifiers',
  'cors',
  'rateLimit',
  'buffer',
  'transformation',
]);

const targetKinds: ReadonlySet<string> = new Set(['Gateway', 'HTTPRoute', 'GRPCRoute', 'ListenerSet', 'XListenerSet']);
const maxBufferBytes = 4 * 2 ** 30;
const minFillIntervalMs = 50;
const maxInt32 = 2 ** 31 - 1;

/** Reads a TrafficPolicy. Total: problems are in the result. `secrets` finds those that it names. */
export function parseTrafficPolicy(object: TrafficPolicy, secrets?: SecretLookup): Policy<RoutePolicies> {
  const spec: TrafficPolicySpec = object.spec ?? {};
  const problems: Problem[] = [];
  const keep = <T>({ value, problems: found }: Parsed<T>): T | undefined => {
    problems.push(...found);
    return value;
  };

  for (const field of Object.keys(spec)) {
    if (!supported.has(field)) problems.push(unsupportedField(`spec.${field}`));
  }
  const weight = weightAnnotation(object, policyWeightAnnotation, problems);
  const targets = targetsOf(spec, object.metadata.namespace ?? '', problems);
  const timeouts = spec.timeouts && keep(parseTimeouts(spec.timeouts));
  const retry = spec.retry && keep(parseRetry(spec.retry, spec.timeouts?.request));
  const headers = spec.headerModifiers && keep(parseHeaders(spec.headerModifiers, secrets));
  const cors = spec.cors && (spec.cors.disable ? 'disabled' : keep(corsPolicy(spec.cors, 'spec.cors')));
  const localRateLimit = spec.rateLimit && keep(parseRateLimit(spec.rateLimit));
  const buffer = spec.buffer && keep(parseBuffer(spec.buffer));
  const transformation = spec.transformation && keep(parseTransformation(spec.transformation, 'spec.transformation'));

  return {
    ...policyMetadata('TrafficPolicy', object, weight),
    targets,
    fields: {
      ...(timeouts && { timeouts }),
      ...(retry && { retry }),
      ...(headers && { headers }),
      ...(cors && { cors }),
      ...(localRateLimit && { localRateLimit }),
      ...(buffer && { buffer }),
      ...(transformation && { transformation }),
    },
    problems,
  };
}

function unsupportedField(field: string): Problem {
  return { field, message: 'not supported by this version; remove it, the other fields of the policy then take effect' };
}

function targetsOf(spec: TrafficPolicySpec, namespace: string, problems: Problem[]): readonly PolicyTarget[] {
  const checkKind = (field: string, kind: string): void => {
    if (!targetKinds.has(kind)) {
      const message = `a TrafficPolicy cannot be attached to ${JSON.stringify(kind)}; use Gateway, HTTPRoute, GRPCRoute or ListenerSet`;
      problems.push({ field: `${field}.kind`, message });
    }
  };
  const byName = (spec.targetRefs ?? []).map((t, i): PolicyTarget => {
    const field = `spec.targetRefs[${i}]`;
    checkKind(field, t.kind);
    const ref = { group: t.group, kind: t.kind, namespace, name: t.name };
    return { by: 'name', field, ref: t.sectionName === undefined ? ref : { ...ref, section: t.sectionName } };
  });
  const byLabels = (spec.targetSelectors ?? []).map((t, i): PolicyTarget => {
    const field = `spec.targetSelectors[${i}]`;
    checkKind(field, t.kind);
    const target = { by: 'labels', field, group: t.group, kind: t.kind, namespace, matchLabels: t.matchLabels } as const;
    return t.sectionName === undefined ? target : { ...target, section: t.sectionName };
  });
  return [...byName, ...byLabels];
}

function parseTimeouts(spec: NonNullable<TrafficPolicySpec['timeouts']>): Parsed<Timeouts> {
  const problems: Problem[] = [];
  const requestMs = parseDuration(spec.request, 'spec.timeouts.request', problems);
  const streamIdleMs = parseDuration(spec.streamIdle, 'spec.timeouts.streamIdle', problems);
  // An empty block says nothing: it must not take the field from a less specific policy.
  if (requestMs === undefined && streamIdleMs === undefined) return { problems };
  return { value: { ...(requestMs !== undefined && { requestMs }), ...(streamIdleMs !== undefined && { streamIdleMs }) }, problems };
}

function parseRetry(spec: NonNullable<TrafficPolicySpec['retry']>, requestTimeout: string | undefined): Parsed<RetryPolicy> {
  const problems: Problem[] = [];
  const known: ReadonlySet<string> = new Set(retryConditions);
  const statusCodes = spec.statusCodes ?? [];
  if (!spec.retryOn && !spec.statusCodes) problems.push({ field: 'spec.retry', message: 'retryOn or statusCodes must be set.' });
  for (const [i, token] of (spec.retryOn ?? []).entries()) {
    if (!known.has(token)) {
      problems.push({
        field: `spec.retry.retryOn[${i}]`,
        message: `unknown condition ${JSON.stringify(token)}; use ${retryConditions.join(', ')}`,
      });
    }
  }
  for (const [i, code] of statusCodes.entries()) {
    if (!isInteger(code, 400, 599))
      problems.push({ field: `spec.retry.statusCodes[${i}]`, message: `${code} is not a status code from 400 to 599` });
  }
  const attempts = spec.attempts ?? 1;
  if (!isInteger(attempts, 0))
    problems.push({ field: 'spec.retry.attempts', message: `${attempts} is not a whole number from 0 to ${maxInt32}` });
  const perTryTimeoutMs = parseDuration(spec.perTryTimeout, 'spec.retry.perTryTimeout', problems, 1);
  const backoffBaseMs = parseDuration(spec.backoffBaseInterval ?? '25ms', 'spec.retry.backoffBaseInterval', problems, 1) ?? 25;
  const requestMs = requestTimeout === undefined ? undefined : durationMs(requestTimeout);
  // A timeout of 0 is none: every attempt is shorter.
  if (perTryTimeoutMs !== undefined && requestMs !== undefined && requestMs > 0 && perTryTimeoutMs >= requestMs) {
    const message = `retry.perTryTimeout must be less than timeouts.request: ${spec.perTryTimeout} is not less than ${requestTimeout}; lower it, or raise timeouts.request`;
    problems.push({ field: 'spec.retry.perTryTimeout', message });
  }
  const retryOn = new Set(spec.retryOn ?? []);
  if (statusCodes.length > 0) retryOn.add('retriable-status-codes');
  return {
    value: { retryOn: [...retryOn], statusCodes, attempts, backoffBaseMs, ...(perTryTimeoutMs !== undefined && { perTryTimeoutMs }) },
    problems,
  };
}

function parseHeaders(spec: NonNullable<TrafficPolicySpec['headerModifiers']>, secrets: SecretLookup | undefined): Parsed<HeaderModifiers> {
  const request = spec.request && headerModifier(spec.request, 'spec.headerModifiers.request', { secrets });
  const response = spec.response && headerModifier(spec.response, 'spec.headerModifiers.response', { secrets });
  return {
    value: { ...(request?.value && { request: request.value }), ...(response?.value && { response: response.value }) },
    problems: [...(request?.problems ?? []), ...(response?.problems ?? [])],
  };
}

function parseRateLimit(spec: NonNullable<TrafficPolicySpec['rateLimit']>): Parsed<LocalRateLimit | 'disabled'> {
  const problems: Problem[] = spec.global === undefined ? [] : [unsupportedField('spec.rateLimit.global')];
  if (!spec.local) return { problems };
  const { tokenBucket, percentEnabled, percentEnforced } = spec.local;
  const field = 'spec.rateLimit.local';
  if (!tokenBucket) {
    if (percentEnabled === undefined && percentEnforced === undefined) return { value: 'disabled', problems };
    problems.push({
      field,
      message: 'percentages without a tokenBucket limit nothing; add tokenBucket, or leave local empty to disable the limit',
    });
    return { problems };
  }
  const wholeFrom1 = (value: number, name: string): void => {
    if (!isInteger(value, 1))
      problems.push({ field: `${field}.tokenBucket.${name}`, message: `${value} is not a whole number from 1 to ${maxInt32}` });
  };
  const percentage = (value: number, name: string): void => {
    if (!isInteger(value, 0, 100))
      problems.push({ field: `${field}.${name}`, message: `${value} is not a whole percentage from 0 to 100` });
  };
  const { maxTokens, tokensPerFill = 1 } = tokenBucket;
  const enabledPercent = percentEnabled ?? 100;
  const enforcedPercent = percentEnforced ?? 100;
  wholeFrom1(maxTokens, 'maxTokens');
  wholeFrom1(tokensPerFill, 'tokensPerFill');
  percentage(enabledPercent, 'percentEnabled');
  percentage(enforcedPercent, 'percentEnforced');
  const fillIntervalMs = parseDuration(tokenBucket.fillInterval, `${field}.tokenBucket.fillInterval`, problems, minFillIntervalMs);
  if (fillIntervalMs === undefined) return { problems };
  return { value: { maxTokens, tokensPerFill, fillIntervalMs, enabledPercent, enforcedPercent }, problems };
}

function parseBuffer(spec: NonNullable<TrafficPolicySpec['buffer']>): Parsed<RequestBuffer | 'disabled'> {
  const { maxRequestSize, disable } = spec;
  if ((maxRequestSize === undefined) === (disable === undefined)) {
    return { problems: [{ field: 'spec.buffer', message: 'exactly one of the fields in [maxRequestSize disable] must be set' }] };
  }
  if (maxRequestSize === undefined) return { value: 'disabled', problems: [] };
  const field = 'spec.buffer.maxRequestSize';
  const maxBytes = quantityValue(maxRequestSize);
  if (maxBytes === undefined) {
    return {
      problems: [{ field, message: `${JSON.stringify(maxRequestSize)} is not a quantity of bytes; write one such as 64Ki or 1Mi` }],
    };
  }
  if (maxBytes <= 0 || maxBytes >= maxBufferBytes) {
    return { problems: [{ field, message: `maxRequestSize must be greater than 0 and less than 4Gi, not ${maxRequestSize}` }] };
  }
  return { value: { maxBytes }, problems: [] };
}

function isInteger(value: number, from: number, to = maxInt32): boolean {
  return Number.isInteger(value) && value >= from && value <= to;
}
