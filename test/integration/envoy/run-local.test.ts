/** `kgateway local` as a user runs it: a folder, an Envoy for its Gateway, echo servers for its backends, a table of statuses. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Local, runLocal } from '../../../src/cmd/local.ts';
import { createLogger } from '../../../src/cmd/log.ts';
import { gatewayOf, routeOf, ruleOf, serviceOf } from '../backend.ts';
import { envoyPath } from '../envoy.ts';
import { call, echoOf, eventually } from '../local.ts';
import { freePorts } from '../ports.ts';

const folder = mkdtempSync(join(tmpdir(), 'kgateway-run-local-'));
const printed: string[] = [];
let local: Local;
let port = 0;

beforeAll(async () => {
  const [listener = 0, echo = 0] = await freePorts(2);
  port = listener;
  const backend = serviceOf({ name: 'one', port: echo }).replace('labels: {', 'annotations: { kgateway.dev/echo: shop }, labels: {');
  writeFileSync(join(folder, 'gateway.yaml'), gatewayOf(`{ name: http, protocol: HTTP, port: ${listener} }`) + backend);
  writeFileSync(join(folder, 'routes.yaml'), routeOf('shop', ['shop.example.com'], [ruleOf('{ path: { value: / } }')]));
  local = await runLocal({
    folder,
    envoy: envoyPath(),
    log: createLogger('error', 2),
    print: (text) => printed.push(text),
  });
});

afterAll(async () => {
  await local.stop();
  rmSync(folder, { recursive: true, force: true });
});

test('the printed line leads to the backend', async () => {
  await eventually('a table is printed', () => printed.some((text) => /HTTPRoute default\/shop\s+True\s+True\s+True/.test(text)));
  const line = printed.flatMap((text) => text.split('\n')).find((text) => text.startsWith('curl'));
  expect(line).toContain(`-H 'Host: shop.example.com' http://127.0.0.1:${port}/`);
  await eventually('Envoy serves', async () => echoOf(await call(port, '/', { host: 'shop.example.com' })).service === 'shop');
});

test('what is wrong is printed with its place, and the rest serves on', async () => {
  writeFileSync(join(folder, 'broken.yaml'), 'kind: [\n');
  await eventually('the problem is printed', () => printed.some((text) => /broken\.yaml:\d+/.test(text)));
  expect((await call(port, '/', { host: 'shop.example.com' })).status).toBe(200);
});
