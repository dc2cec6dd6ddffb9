import { type AddressInfo, createServer } from 'node:net';
import { expect, test } from 'vitest';
import { freePorts } from './free-port.ts';

test('each free port once, and none that is taken', async () => {
  const first = await freePorts(20_000)();
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(first, '127.0.0.1', resolve));
  const next = freePorts((server.address() as AddressInfo).port);
  const found = [await next(), await next(), await next()];
  expect(new Set([first, ...found]).size).toBe(4);
  await new Promise((resolve) => server.close(resolve));
});

test('when there is none it says so', async () => {
  await expect(freePorts(32_768)()).rejects.toThrow('no port from 32768 to 32767 of 127.0.0.1 is free');
});
