/** DirectResponses through a real Envoy: what is answered without a backend, what the operators show, and what stands in for a broken one. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { formatOperators } from '../../../src/ir/format.ts';
import { type Backend, api, gatewayOf, objectOf, routeOf, ruleOf, serviceOf, startBackend } from '../backend.ts';
import { envoyPath } from '../envoy.ts';
import { type LocalGateway, call, eventually, startLocalGateway } from '../local.ts';

let gateway: LocalGateway;
let one: Backend;

const response = (name: string, spec: string): string => objectOf(api.kgateway, 'DirectResponse', name, spec);
const filter = (name: string): string =>
  `{ type: ExtensionRef, extensionRef: { group: gateway.kgateway.dev, kind: DirectResponse, name: ${name} } }`;
const rule = (path: string, filters: string, more = ''): string =>
  `{ matches: [{ path: { value: ${path} } }], filters: [${filters}]${more} }`;

beforeAll(async () => {
  one = await startBackend('one');
  gateway = await startLocalGateway(
    {
      'gateway.yaml': gatewayOf('{ name: http, protocol: HTTP, port: 80 }'),
      'backends.yaml': serviceOf(one),
      'responses.yaml':
        response('plain', `status: 418, body: '100% tea'`) +
        response('bare', `status: 204`) +
        response('html', `status: 200, bodyFormat: { contentType: text/html, text: 'you are %REQ(X-Name)%, 100%%' }`) +
        response('json', `status: 503, bodyFormat: { json: { path: '%REQ(:path)%', list: [1, true, { code: '%RESPONSE_CODE%' }] } }`) +
        response('token', `status: 200, bodyFormat: { text: '%FILE_CONTENT(/etc/passwd)%' }`),
      'routes.yaml': routeOf(
        'main',
        ['a.example.com'],
        [
          rule('/plain', filter('plain')),
          rule('/bare', filter('bare')),
          rule(
            '/html',
            `${filter('html')}, { type: ResponseHeaderModifier, responseHeaderModifier: { set: [{ name: x-out, value: set }] } }`,
          ),
          rule('/json', filter('json')),
          rule('/token', filter('token')),
          rule('/gone', filter('gone')),
          rule('/backend', filter('plain'), ', backendRefs: [{ name: one, port: 80 }]'),
          rule('/two', `${filter('plain')}, ${filter('html')}`),
          ruleOf('{ path: { value: / } }'),
        ],
      ),
    },
    [80],
  );
  await eventually('Envoy serves', async () => (await get('/')).status === 200);
});

afterAll(async () => {
  expect(gateway.rejections()).toEqual([]);
  expect(gateway.problems()).toEqual([]);
  await gateway.stop();
  one.close();
});

const get = (path: string, name = 'ada') => call(gateway.port(80), path, { headers: { 'x-name': name } });

test('a body as it is', async () => {
  expect(await get('/plain')).toMatchObject({ status: 418, body: '100% tea', headers: { 'content-type': 'text/plain' } });
  expect(await get('/bare')).toMatchObject({ status: 204, body: '' });
});

test('a text of the request, and filters of the rule beside it', async () => {
  expect(await get('/html')).toMatchObject({
    status: 200,
    body: 'you are ada, 100%',
    headers: { 'content-type': 'text/html', 'x-out': 'set' },
  });
});

test('JSON stays JSON, whatever the request says', async () => {
  const answer = await get('/json?a="b"');
  expect(answer).toMatchObject({ status: 503, headers: { 'content-type': 'application/json' } });
  expect(JSON.parse(answer.body)).toMatchObject({ path: '/json?a="b"', list: [1, true, { code: expect.anything() }] });
});

test.each(['/token', '/gone', '/backend', '/two'])(
  '%s is answered with 500, and nothing of the backend or the proxy is shown',
  async (path) => {
    expect(await get(path)).toMatchObject({ status: 500, body: expect.stringContaining('invalid route configuration') });
  },
);

test('a change and a new object arrive; the status says who uses it', async () => {
  await gateway.write('gone.yaml', response('gone', `status: 200, body: here`));
  await eventually('the missing one is there', async () => (await get('/gone')).body === 'here');
  await gateway.write('gone.yaml', response('gone', `status: 200, body: changed`));
  await eventually('it has changed', async () => (await get('/gone')).body === 'changed');
  expect(gateway.status('DirectResponse default/gone')).toMatchObject({
    entries: [
      {
        ref: { kind: 'Gateway', name: 'gw' },
        conditions: [
          { type: 'Accepted', status: 'True' },
          { type: 'Attached', status: 'True' },
        ],
      },
    ],
  });
});

describe('operators', () => {
  test('Envoy knows every one that we let through', () => {
    const folder = mkdtempSync(join(tmpdir(), 'operators-'));
    const format = [...formatOperators.values()].map((o) => o.example).join(' ');
    const type = 'type.googleapis.com/envoy.extensions.filters';
    const config = {
      static_resources: {
        listeners: [
          {
            name: 'l',
            address: { socket_address: { address: '127.0.0.1', port_value: 0 } },
            filter_chains: [
              {
                filters: [
                  {
                    name: 'hcm',
                    typed_config: {
                      '@type': `${type}.network.http_connection_manager.v3.HttpConnectionManager`,
                      stat_prefix: 'a',
                      http_filters: [{ name: 'router', typed_config: { '@type': `${type}.http.router.v3.Router` } }],
                      route_config: {
                        virtual_hosts: [
                          {
                            name: 'a',
                            domains: ['*'],
                            routes: [
                              {
                                match: { prefix: '/' },
                                direct_response: { status: 200, body_format: { text_format_source: { inline_string: format } } },
                                response_headers_to_add: [{ header: { key: 'a', value: format } }],
                              },
                            ],
                          },
                        ],
                      },
                    },
                  },
                ],
              },
            ],
          },
        ],
      },
    };
    writeFileSync(join(folder, 'envoy.json'), JSON.stringify(config));
    const { status, stderr } = spawnSync(envoyPath(), ['--mode', 'validate', '-c', join(folder, 'envoy.json'), '-l', 'error'], {
      encoding: 'utf8',
    });
    rmSync(folder, { recursive: true });
    expect(status, stderr).toBe(0);
  });
});
