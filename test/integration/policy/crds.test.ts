// The definitions of our kinds at a real API server: it takes them, fills in defaults and refuses with kgateway's messages.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { load } from 'js-yaml';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { TrafficPolicySpec } from '../../../src/policy/trafficpolicy/schema.ts';
import { type ApiServer, apiServerAvailable, startApiServer, until } from './api-server.ts';

const folder = join(import.meta.dirname, '../../../charts/kgateway-crds/templates');
const definitions = readdirSync(folder)
  .filter((f) => f.startsWith('gateway.kgateway.dev_'))
  .map((f) => load(readFileSync(join(folder, f), 'utf8')) as { metadata: { name: string } });
const served = '/apis/gateway.kgateway.dev/v1alpha1/namespaces/default';
const plurals = { TrafficPolicy: 'trafficpolicies', Backend: 'backends', DirectResponse: 'directresponses' } as const;
const group = 'gateway.networking.k8s.io';

describe.skipIf(!apiServerAvailable)('custom resource definitions', () => {
  let server: ApiServer;
  beforeAll(async () => {
    server = await startApiServer();
    for (const definition of definitions) {
      const path = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
      const { status, body } = await server.call('POST', path, definition);
      expect(status, body.message).toBe(201);
      await until(`${definition.metadata.name} is established`, async () => {
        const { body: crd } = await server.call('GET', `${path}/${definition.metadata.name}`);
        return ((crd.status?.['conditions'] ?? []) as { type: string; status: string }[]).some(
          (c) => c.type === 'Established' && c.status === 'True',
        );
      });
    }
    for (const plural of Object.values(plurals))
      await until(`${plural} are served`, async () => (await server.call('GET', `${served}/${plural}`)).status === 200);
  });
  afterAll(async () => {
    await server?.[Symbol.asyncDispose]();
  });

  const create = (spec: object, kind: keyof typeof plurals = 'TrafficPolicy') =>
    server.call('POST', `${served}/${plurals[kind]}?dryRun=All`, {
      apiVersion: 'gateway.kgateway.dev/v1alpha1',
      kind,
      metadata: { name: 'p' },
      spec,
    });

  test('none has a schema that is not structural', async () => {
    for (const { metadata } of definitions) {
      const { body } = await server.call('GET', `/apis/apiextensions.k8s.io/v1/customresourcedefinitions/${metadata.name}`);
      const conditions = body.status?.['conditions'] as { type: string; message: string }[];
      expect(conditions.filter((c) => c.type === 'NonStructuralSchema')).toEqual([]);
    }
  });

  test('a TrafficPolicy gets its defaults', async () => {
    const spec: TrafficPolicySpec = {
      targetRefs: [{ group, kind: 'HTTPRoute', name: 'r' }],
      timeouts: { request: '3s' },
      retry: { retryOn: ['5xx'], perTryTimeout: '1s' },
      cors: { allowOrigins: ['https://*.example.com'] },
      rateLimit: { local: { tokenBucket: { maxTokens: 1, fillInterval: '50ms' } } },
      buffer: { maxRequestSize: '64Ki' },
    };
    const { status, body } = await create(spec);
    expect(status, body.message).toBe(201);
    expect(body.spec).toEqual({
      ...spec,
      retry: { ...spec.retry, attempts: 1, backoffBaseInterval: '25ms' },
      cors: { ...spec.cors, maxAge: 5 },
      rateLimit: { local: { tokenBucket: { maxTokens: 1, fillInterval: '50ms', tokensPerFill: 1 } } },
    });
  });

  test.each<object>([
    { buffer: { maxRequestSize: 1024 } },
    { rateLimit: { local: {} } },
    {
      headerModifiers: {
        request: { set: [{ name: 'x-a', secretRef: { name: 's', key: 'k', namespace: 'other' } }], add: [{ secretRef: { name: 's' } }] },
      },
    },
    { cors: { disable: {} } },
    { targetRefs: [{ group, kind: 'ListenerSet', name: 'x', sectionName: 'http' }] },
    { targetSelectors: [{ group, kind: 'Gateway', matchLabels: { a: 'b' } }] },
    // Kept, not stripped: the controller refuses the policy by the name of the field.
    { extAuth: { extensionRef: { name: 'x' } } },
  ])('takes %j as it is', async (spec) => {
    const { status, body } = await create(spec);
    expect(status, body.message).toBe(201);
    expect(body.spec).toEqual({ ...spec, ...('cors' in spec && { cors: { disable: {}, maxAge: 5 } }) });
  });

  const onGateway = { targetRefs: [{ group, kind: 'Gateway', name: 'g' }] };
  const bucket = { maxTokens: 1, fillInterval: '1s' };
  test.each<[object, string]>([
    [
      { timeouts: { request: '3s' }, retry: { retryOn: ['5xx'], perTryTimeout: '3s' } },
      'retry.perTryTimeout must be less than timeouts.request',
    ],
    [{ retry: { attempts: 1 } }, 'retryOn or statusCodes must be set.'],
    [{ retry: { retryOn: ['5xx'], perTryTimeout: '0s' } }, 'retry.perTryTimeout must be at least 1ms.'],
    [{ retry: { retryOn: ['5xx'], backoffBaseInterval: '0s' } }, 'retry.backoffBaseInterval must be at least 1ms.'],
    [{ retry: { retryOn: ['never'] } }, 'Unsupported value: "never"'],
    [{ retry: { statusCodes: [200] } }, 'should be greater than or equal to 400'],
    [{ timeouts: { request: '1.5s' } }, 'invalid duration value'],
    [{ timeouts: { streamIdle: '1d' } }, 'invalid duration value'],
    [{ rateLimit: { local: { tokenBucket: { ...bucket, fillInterval: '49ms' } } } }, 'must be at least 50ms'],
    [{ rateLimit: { local: { tokenBucket: { ...bucket, maxTokens: 0 } } } }, 'should be greater than or equal to 1'],
    [{ rateLimit: { local: { percentEnabled: 101 } } }, 'should be less than or equal to 100'],
    [{ buffer: { maxRequestSize: '4Gi' } }, 'maxRequestSize must be greater than 0 and less than 4Gi'],
    [{ buffer: { maxRequestSize: 0 } }, 'maxRequestSize must be greater than 0 and less than 4Gi'],
    [{ buffer: {} }, 'exactly one of the fields in [maxRequestSize disable] must be set'],
    [{ headerModifiers: {} }, 'at least one of the fields in [request response] must be set'],
    [{ headerModifiers: { request: {} } }, 'at least one of the fields in [set add remove] must be set'],
    [
      { headerModifiers: { request: { set: [{ name: 'x-a', value: 'b', secretRef: { name: 's' } }] } } },
      'exactly one of the fields in [value secretRef] must be set',
    ],
    [{ headerModifiers: { request: { set: [{ name: 'x-a' }] } } }, 'exactly one of the fields in [value secretRef] must be set'],
    [{ headerModifiers: { request: { add: [{ value: 'a' }] } } }, 'name is required when using an inline value'],
    [{ cors: { allowOrigins: ['*', 'https://a.b'] } }, "AllowOrigins cannot contain '*' alongside other origins"],
    [{ cors: { allowMethods: ['*', 'GET'] } }, "AllowMethods cannot contain '*' alongside other methods"],
    [{ cors: { allowHeaders: ['*', 'x-a'] } }, "AllowHeaders cannot contain '*' alongside other headers"],
    [
      { targetRefs: [{ group: '', kind: 'Service', name: 'x' }] },
      'targetRefs may only reference Gateway, HTTPRoute, GRPCRoute, or ListenerSet resources',
    ],
    [
      { targetSelectors: [{ group: '', kind: 'Service', matchLabels: {} }] },
      'targetSelectors may only reference Gateway, HTTPRoute, GRPCRoute, or ListenerSet resources',
    ],
    [{ ...onGateway, autoHostRewrite: true }, 'autoHostRewrite can only be used when targeting HTTPRoute resources'],
    [{ ...onGateway, urlRewrite: {} }, 'urlRewrite can only be used when targeting HTTPRoute resources'],
    [{ ...onGateway, tracing: {} }, 'tracing can only be used when targeting HTTPRoute or GRPCRoute resources'],
    [{ ...onGateway, statPrefix: 'a' }, 'statPrefix can only be used when targeting HTTPRoute or GRPCRoute resources'],
  ])('refuses %j', async (spec, message) => {
    const { status, body } = await create(spec);
    expect(status).toBe(422);
    expect(body.message).toContain(message);
  });

  const lambda = { functionName: 'f', accountId: '123456789012', qualifier: 'prod', invocationMode: 'Sync', payloadTransformMode: 'Envoy' };
  const aws = { region: 'eu-west-1', lambda };
  const hosts = [{ host: 'api.example.com', port: 443 }];
  test.each<[keyof typeof plurals, object]>([
    ['Backend', { type: 'Static', static: { hosts, appProtocol: 'kubernetes.io/h2c' } }],
    ['Backend', { aws: { ...aws, auth: { type: 'Secret', secretRef: { name: 's' } } } }],
    ['DirectResponse', { status: 404, body: 'not here' }],
    ['DirectResponse', { status: 200, bodyFormat: { json: { path: '%REQ(:path)%', list: [1, true] } } }],
    // Kept, not stripped, as above.
    ['Backend', { type: 'GCP', gcp: { host: 'run.example.com' } }],
  ])('takes the %s %j as it is', async (kind, spec) => {
    const { status, body } = await create(spec, kind);
    expect(status, body.message).toBe(201);
    expect(body.spec).toEqual(spec);
  });

  const oneBackend = 'exactly one of the fields in [aws static dynamicForwardProxy gcp priorityGroups] must be set';
  test.each<[keyof typeof plurals, object, string]>([
    ['Backend', {}, oneBackend],
    ['Backend', { static: { hosts }, gcp: {} }, oneBackend],
    ['Backend', { type: 'AWS', static: { hosts } }, "aws backend must be specified when type is 'AWS'"],
    ['Backend', { static: { hosts: [] } }, 'should have at least 1 items'],
    ['Backend', { static: { hosts: [{ host: 'a', port: 0 }] } }, 'should be greater than or equal to 1'],
    ['Backend', { static: { hosts, appProtocol: 'http' } }, 'Unsupported value: "http"'],
    ['Backend', { aws: { lambda: { functionName: 'f' } } }, 'accountId must be specified on aws or aws.lambda for lambda backends'],
    ['Backend', { aws: { accountId: '123456789012' } }, 'exactly one of the fields in [lambda ec2] must be set'],
    ['Backend', { aws: { ...aws, auth: { type: 'Secret' } } }, "secretRef must be specified when type is 'Secret'"],
    ['Backend', { aws: { lambda: { ...lambda, functionName: 'a b' } } }, 'should match'],
    ['DirectResponse', { body: 'x' }, 'spec.status: Required value'],
    ['DirectResponse', { status: 199 }, 'should be greater than or equal to 200'],
    ['DirectResponse', { status: 200, body: 'x', bodyFormat: { text: 'x' } }, 'at most one of the fields in [body bodyFormat] may be set'],
    ['DirectResponse', { status: 200, bodyFormat: {} }, 'exactly one of the fields in [json text] must be set'],
  ])('refuses the %s %j', async (kind, spec, message) => {
    const { status, body } = await create(spec, kind);
    expect(status).toBe(422);
    expect(body.message).toContain(message);
  });
});
