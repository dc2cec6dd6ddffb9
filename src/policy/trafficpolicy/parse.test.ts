import { describe, expect, test } from 'vitest';
import type { RoutePolicies } from '../../ir/policy.ts';
import type { ObjectMeta } from '../../kube/types/meta.ts';
import { parseTrafficPolicy } from './parse.ts';
import type { TrafficPolicySpec } from './schema.ts';

function parse(spec: TrafficPolicySpec, metadata: Partial<ObjectMeta> = {}) {
  return parseTrafficPolicy({
    apiVersion: 'gateway.kgateway.dev/v1alpha1',
    kind: 'TrafficPolicy',
    metadata: { name: 'p', namespace: 'demo', generation: 2, ...metadata },
    spec,
  });
}

describe('fields', () => {
  test.each<[string, TrafficPolicySpec, RoutePolicies]>([
    ['empty', {}, {}],
    ['timeouts', { timeouts: { request: '1s', streamIdle: '0s' } }, { timeouts: { requestMs: 1000, streamIdleMs: 0 } }],
    ['empty timeouts', { timeouts: {} }, {}],
    [
      'retry, defaults',
      { retry: { retryOn: ['5xx', 'reset'] } },
      { retry: { retryOn: ['5xx', 'reset'], statusCodes: [], attempts: 1, backoffBaseMs: 25 } },
    ],
    [
      'retry, everything',
      {
        retry: { retryOn: ['5xx'], statusCodes: [503], attempts: 0, perTryTimeout: '1s', backoffBaseInterval: '10ms' },
        timeouts: { request: '3s' },
      },
      {
        timeouts: { requestMs: 3000 },
        retry: { retryOn: ['5xx', 'retriable-status-codes'], statusCodes: [503], attempts: 0, perTryTimeoutMs: 1000, backoffBaseMs: 10 },
      },
    ],
    [
      'a per-try timeout below a disabled request timeout',
      { retry: { retryOn: ['5xx'], perTryTimeout: '1s' }, timeouts: { request: '0s' } },
      { timeouts: { requestMs: 0 }, retry: { retryOn: ['5xx'], statusCodes: [], attempts: 1, perTryTimeoutMs: 1000, backoffBaseMs: 25 } },
    ],
    [
      'headers',
      { headerModifiers: { request: { set: [{ name: 'a', value: 'b' }] }, response: { remove: ['c'] } } },
      { headers: { request: { set: [{ name: 'a', value: 'b' }], add: [], remove: [] }, response: { set: [], add: [], remove: ['c'] } } },
    ],
    [
      'cors',
      { cors: { allowOrigins: ['https://a.b'], allowCredentials: true, maxAge: 60 } },
      {
        cors: {
          allowOrigins: [{ kind: 'exact', origin: 'https://a.b' }],
          allowMethods: [],
          allowHeaders: [],
          exposeHeaders: [],
          allowCredentials: true,
          maxAgeSeconds: 60,
        },
      },
    ],
    ['cors disabled', { cors: { disable: {} } }, { cors: 'disabled' }],
    [
      'rate limit, defaults',
      { rateLimit: { local: { tokenBucket: { maxTokens: 5, fillInterval: '50ms' } } } },
      { localRateLimit: { maxTokens: 5, tokensPerFill: 1, fillIntervalMs: 50, enabledPercent: 100, enforcedPercent: 100 } },
    ],
    [
      'rate limit, percentages',
      {
        rateLimit: {
          local: { tokenBucket: { maxTokens: 5, tokensPerFill: 2, fillInterval: '1s' }, percentEnabled: 0, percentEnforced: 50 },
        },
      },
      { localRateLimit: { maxTokens: 5, tokensPerFill: 2, fillIntervalMs: 1000, enabledPercent: 0, enforcedPercent: 50 } },
    ],
    ['rate limit disabled', { rateLimit: { local: {} } }, { localRateLimit: 'disabled' }],
    ['rate limit without a kind', { rateLimit: {} }, {}],
    ['buffer', { buffer: { maxRequestSize: '64Ki' } }, { buffer: { maxBytes: 65_536 } }],
    ['buffer as a number', { buffer: { maxRequestSize: 1024 } }, { buffer: { maxBytes: 1024 } }],
    ['buffer disabled', { buffer: { disable: {} } }, { buffer: 'disabled' }],
  ])('%s', (_name, spec, fields) => {
    const policy = parse(spec);
    expect(policy.problems).toEqual([]);
    expect(policy.fields).toEqual(fields);
  });
});

describe('problems name the field and the remedy', () => {
  const bucket = { maxTokens: 1, fillInterval: '1s' };
  test.each<[TrafficPolicySpec, string, string]>([
    [{ timeouts: { request: '1.5s' } }, 'spec.timeouts.request', 'write whole numbers with units'],
    [{ timeouts: { streamIdle: '' } }, 'spec.timeouts.streamIdle', 'invalid duration value'],
    [{ retry: {} }, 'spec.retry', 'retryOn or statusCodes must be set.'],
    [{ retry: { retryOn: ['5xx'], attempts: -1 } }, 'spec.retry.attempts', 'whole number'],
    [{ retry: { statusCodes: [200] } }, 'spec.retry.statusCodes[0]', 'from 400 to 599'],
    [{ retry: { retryOn: ['nope' as '5xx'] } }, 'spec.retry.retryOn[0]', 'unknown condition "nope"'],
    [{ retry: { retryOn: ['5xx'], perTryTimeout: '0s' } }, 'spec.retry.perTryTimeout', 'at least 1ms'],
    [{ retry: { retryOn: ['5xx'], backoffBaseInterval: '0ms' } }, 'spec.retry.backoffBaseInterval', 'at least 1ms'],
    [
      { retry: { retryOn: ['5xx'], perTryTimeout: '3s' }, timeouts: { request: '3000ms' } },
      'spec.retry.perTryTimeout',
      'retry.perTryTimeout must be less than timeouts.request',
    ],
    [{ headerModifiers: { request: { remove: ['host'] } } }, 'spec.headerModifiers.request.remove[0]', 'URLRewrite'],
    [
      { headerModifiers: { response: { set: [{ name: ':status', value: '200' }] } } },
      'spec.headerModifiers.response.set[0].name',
      'pseudo-header',
    ],
    [{ cors: { allowOrigins: ['example.com'] } }, 'spec.cors.allowOrigins[0]', 'https://'],
    [{ rateLimit: { local: { percentEnabled: 1 } } }, 'spec.rateLimit.local', 'add tokenBucket'],
    [
      { rateLimit: { local: { tokenBucket: { ...bucket, fillInterval: '49ms' } } } },
      'spec.rateLimit.local.tokenBucket.fillInterval',
      'at least 50ms',
    ],
    [{ rateLimit: { local: { tokenBucket: { ...bucket, maxTokens: 0 } } } }, 'spec.rateLimit.local.tokenBucket.maxTokens', 'from 1'],
    [
      { rateLimit: { local: { tokenBucket: { ...bucket, tokensPerFill: 0 } } } },
      'spec.rateLimit.local.tokenBucket.tokensPerFill',
      'from 1',
    ],
    [{ rateLimit: { local: { tokenBucket: bucket, percentEnabled: 101 } } }, 'spec.rateLimit.local.percentEnabled', 'from 0 to 100'],
    [{ rateLimit: { local: { tokenBucket: bucket, percentEnforced: -1 } } }, 'spec.rateLimit.local.percentEnforced', 'from 0 to 100'],
    [{ rateLimit: { global: {} } }, 'spec.rateLimit.global', 'not supported'],
    [{ buffer: {} }, 'spec.buffer', 'exactly one'],
    [{ buffer: { maxRequestSize: '1Mi', disable: {} } }, 'spec.buffer', 'exactly one'],
    [{ buffer: { maxRequestSize: '4Gi' } }, 'spec.buffer.maxRequestSize', 'less than 4Gi'],
    [{ buffer: { maxRequestSize: 0 } }, 'spec.buffer.maxRequestSize', 'greater than 0'],
    [{ buffer: { maxRequestSize: '1MB' } }, 'spec.buffer.maxRequestSize', 'write one such as 64Ki'],
    [{ extAuth: { extensionRef: { name: 'a' } } }, 'spec.extAuth', 'not supported by this version'],
    [{ autoHostRewrite: true }, 'spec.autoHostRewrite', 'not supported by this version'],
    [{ targetRefs: [{ group: '', kind: 'Service', name: 'a' }] }, 'spec.targetRefs[0].kind', 'use Gateway, HTTPRoute'],
  ])('%j', (spec, field, message) => {
    const { problems } = parse(spec);
    expect(problems.map((p) => p.field)).toEqual([field]);
    expect(problems[0]?.message).toContain(message);
  });

  test('all of them at once', () => {
    expect(parse({ timeouts: { request: 'x', streamIdle: 'y' }, buffer: { maxRequestSize: 'z' } }).problems).toHaveLength(3);
  });
});

test('targets are in the namespace of the policy', () => {
  const group = 'gateway.networking.k8s.io';
  const { targets, ref, generation } = parse({
    targetRefs: [
      { group, kind: 'Gateway', name: 'g', sectionName: 'http' },
      { group, kind: 'HTTPRoute', name: 'r' },
    ],
    targetSelectors: [{ group, kind: 'HTTPRoute', matchLabels: { a: 'b' } }],
  });
  expect(targets).toEqual([
    { by: 'name', field: 'spec.targetRefs[0]', ref: { group, kind: 'Gateway', namespace: 'demo', name: 'g', section: 'http' } },
    { by: 'name', field: 'spec.targetRefs[1]', ref: { group, kind: 'HTTPRoute', namespace: 'demo', name: 'r' } },
    { by: 'labels', field: 'spec.targetSelectors[0]', group, kind: 'HTTPRoute', namespace: 'demo', matchLabels: { a: 'b' } },
  ]);
  expect(ref).toEqual({ group: 'gateway.kgateway.dev', kind: 'TrafficPolicy', namespace: 'demo', name: 'p' });
  expect(generation).toBe(2);
});

test.each([
  [undefined, 0, 0],
  ['10', 10, 0],
  ['-3', -3, 0],
  ['1.5', 0, 1],
  ['high', 0, 1],
])('weight %j', (text, weight, problems) => {
  const policy = parse(
    {},
    { creationTimestamp: '2026-01-01T00:00:00Z', ...(text !== undefined && { annotations: { 'kgateway.dev/policy-weight': text } }) },
  );
  expect(policy.precedence).toEqual({ weight, created: '2026-01-01T00:00:00Z', key: 'demo/p' });
  expect(policy.problems).toHaveLength(problems);
});
