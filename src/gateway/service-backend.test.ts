import { expect, test } from 'vitest';
import { upstreamProtocol } from './service-backend.ts';

test.each([
  ['http', undefined, 'http1'],
  ['', undefined, 'http1'],
  ['grpc', undefined, 'http2'],
  ['grpc-api', undefined, 'http2'],
  ['http2', undefined, 'http2'],
  ['http2-x', undefined, 'http2'],
  ['grpcish', undefined, 'http1'],
  ['grpc-web', undefined, 'http1'],
  ['grpc-web-x', undefined, 'http1'],
  ['http', 'kubernetes.io/h2c', 'http2'],
  ['http', 'grpc', 'http2'],
  ['grpc', 'http', 'http1'],
  ['grpc', 'kubernetes.io/ws', 'http1'],
])('port name %j with appProtocol %j speaks %s', (name, appProtocol, expected) => {
  expect(upstreamProtocol({ port: 80, name, appProtocol, protocol: 'TCP' })).toBe(expected);
});
