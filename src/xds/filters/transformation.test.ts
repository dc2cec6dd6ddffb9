import { describe, expect, test } from 'vitest';
import type { Expression, HeaderTemplate, MessageTransformation, Template } from '../../ir/transformation.ts';
import { unpack } from '../proto/index.ts';
import { headerTransformation, transformation } from './transformation.ts';

const nothing: MessageTransformation = { set: [], add: [], remove: [], parseAs: 'text', buffered: false, metadata: [], requestHeaders: [] };
const text = (value: string): Template => [{ type: 'text', text: value }];
const literal = (value: string): Expression => ({ type: 'literal', value });
const lookup = (name: string, argument: string): Template => [{ type: 'print', value: { type: 'call', name, args: [literal(argument)] } }];
const header = (name: string, value: Template): HeaderTemplate => ({ name, value });

function mutations(request: Partial<MessageTransformation>) {
  const config = headerTransformation.forRoute?.({ transformation: { request: { ...nothing, ...request } } });
  return config && unpack('envoy.extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute', config).mutations;
}

test('literals and headers become mutations; an empty result removes', () => {
  expect(
    mutations({ set: [header('a', [...text('50% '), ...lookup('header', 'X-In')])], add: [header('b', text('c'))], remove: ['d'] }),
  ).toMatchObject({
    request_mutations: [
      { remove: 'a' },
      { append: { header: { key: 'a', value: '50%% %REQ(x-in)%' } } },
      { append: { header: { key: 'b', value: 'c' } } },
      { remove: 'd' },
    ],
  });
});

test('headers of responses', () => {
  const response = { ...nothing, set: [header('a', lookup('header', 'b'))] };
  const config = headerTransformation.forRoute?.({ transformation: { response } });
  expect(JSON.stringify(config && unpack('envoy.extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute', config))).toContain(
    '%RESP(b)%',
  );
  expect(transformation.forRoute?.({ transformation: { response } })).toBeUndefined();
});

describe('what mutations cannot say exactly goes to the runtime', () => {
  test.each<[string, Partial<MessageTransformation>]>([
    ['an environment variable, which may be missing', { set: [header('a', lookup('env', 'X'))] }],
    ['a header that is changed', { set: [header('a', lookup('header', 'b')), header('b', text('x'))] }],
    ['a header that is removed', { set: [header('a', lookup('header', 'b'))], remove: ['b'] }],
    ['a header twice', { set: [header('a', text('1')), header('a', text('2'))] }],
    ['a pseudo-header', { set: [header(':path', text('/x'))] }],
    ['a line break', { set: [header('a', text('x\ny'))] }],
    ['space at an end', { set: [header('a', text(' x'))] }],
    ['the header of the scope', { set: [header('a', lookup('header', 'x-kgateway-scope'))] }],
    ['a name that would leave the operator', { set: [header('a', lookup('header', 'x)%%REQ(y'))] }],
    ['a function', { set: [header('a', lookup('base64_encode', 'x'))] }],
    ['a body', { body: text('x'), buffered: true }],
    ['metadata', { metadata: [{ namespace: 'a', key: 'b', value: text('c') }] }],
  ])('%s', (_name, request) => {
    expect(mutations(request)).toBeUndefined();
    const config = transformation.forRoute?.({ transformation: { request: { ...nothing, ...request } } });
    if (!config) throw new Error('the runtime does it');
    const { name, source_code, filter_context } = unpack('envoy.extensions.filters.http.lua.v3.LuaPerRoute', config);
    expect(name).toBe('transformation');
    expect(source_code).toBeUndefined();
    expect(Object.keys(filter_context?.fields ?? {})).toEqual(['request']);
  });

  test('a request header in a response: routes may have changed it', () => {
    const response = { ...nothing, set: [header('a', lookup('request_header', 'b'))], requestHeaders: ['b'] };
    expect(headerTransformation.forRoute?.({ transformation: { response } })).toBeUndefined();
    expect(transformation.forRoute?.({ transformation: { response } })).toBeDefined();
  });
});

test('in the chain both do nothing', () => {
  const chain = unpack('envoy.extensions.filters.http.lua.v3.Lua', transformation.chain);
  expect(chain.default_source_code).toBeUndefined();
  expect(chain.inline_code ?? '').toBe('');
  expect(chain.clear_route_cache).toEqual({});
  expect(headerTransformation.noop).toBeUndefined();
});
