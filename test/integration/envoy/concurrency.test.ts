/** More requests at once than Envoy lets a cluster have unless told. */
import { type ServerResponse, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { gatewayOf, routeOf, ruleOf, serviceOf } from '../backend.ts';
import { call, eventually, startLocalGateway } from '../local.ts';

test('1,100 requests wait for one backend, and each gets its answer', async () => {
  const waiting: ServerResponse[] = [];
  const backend = createServer((request, response) => void (request.url === '/wait' ? waiting.push(response) : response.end()));
  await new Promise<void>((resolve) => backend.listen(0, '127.0.0.1', resolve));
  const { port } = backend.address() as AddressInfo;
  const gateway = await startLocalGateway(
    {
      'gateway.yaml':
        gatewayOf('{ name: http, protocol: HTTP, port: 80 }') + routeOf('all', ['example.com'], [ruleOf('{ path: { value: / } }')]),
      'backend.yaml': serviceOf({ name: 'one', port }),
    },
    [80],
  );
  try {
    const get = (path: string) => call(gateway.port(80), path, { host: 'example.com' });
    await eventually('Envoy serves', async () => (await get('/')).status === 200);
    const answers = Array.from({ length: 1100 }, () => get('/wait'));
    await eventually('all wait', () => waiting.length === 1100);
    for (const response of waiting) response.end();
    expect(new Set((await Promise.all(answers)).map((a) => a.status))).toEqual(new Set([200]));
  } finally {
    await gateway.stop();
    backend.closeAllConnections();
    backend.close();
  }
});
