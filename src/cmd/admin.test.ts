import type { Server } from 'node:http';
import { afterEach, expect, test } from 'vitest';
import { Graph, source } from '../krt/index.ts';
import { debugRoutes, healthRoutes, serve } from './admin.ts';
import { createLogger } from './log.ts';
import { createMetrics, metricsDocument, metricsTable, observe } from './metrics.ts';

const servers: Server[] = [];
afterEach(() => servers.splice(0).forEach((s) => s.close()));

async function open(
  routes: Parameters<typeof serve>[2],
): Promise<(path: string, init?: RequestInit) => Promise<{ status: number; body: string }>> {
  const server = await serve('127.0.0.1', 0, routes);
  servers.push(server);
  const address = server.address();
  const port = typeof address === 'object' && address ? address.port : 0;
  return async (path, init) => {
    const answer = await fetch(`http://127.0.0.1:${port}${path}`, init);
    return { status: answer.status, body: await answer.text() };
  };
}

function graph(): Graph {
  const g = new Graph({ schedule: () => {} });
  const secrets = source<{ name: string; data: string }>(g, { name: 'Secret', key: (s) => s.name });
  secrets.set({ name: 'a', data: 'do not show' });
  secrets.markSynced();
  g.flush();
  return g;
}

test('readiness says what it waits for', async () => {
  let waiting: string | undefined = 'the API server';
  const get = await open(healthRoutes(() => waiting));
  expect(await get('/readyz')).toEqual({ status: 503, body: 'waiting for the API server\n' });
  expect((await get('/healthz')).status).toBe(200);
  waiting = undefined;
  expect((await get('/readyz')).status).toBe(200);
  expect((await get('/elsewhere')).body).toContain('/healthz, /readyz');
});

test('debug views show names and never values', async () => {
  const log = createLogger('info', 2);
  const get = await open(debugRoutes({ graph: graph(), proxies: () => [], log, version: '1.2.3' }));
  const dump = await get('/debug/krt?collection=Secret');
  expect(dump.body).toContain('"a"');
  expect(dump.body).not.toContain('do not show');
  expect((await get('/debug/graph')).body).toContain('Secret');
  expect(JSON.parse((await get('/version')).body)).toMatchObject({ version: '1.2.3' });
  expect((await get('/logging?level=loud', { method: 'POST' })).status).toBe(400);
  await get('/logging?level=debug', { method: 'POST' });
  expect(log.level).toBe('debug');
  expect((await get('/debug/profile?seconds=1000')).status).toBe(400);
});

test('metrics of the table are served, totals as they are now', async () => {
  const metrics = createMetrics();
  const input = {
    graph: graph(),
    reflectors: [],
    rejections: () => [{ scope: 'ns/gw', type: 't' }],
    ingressProblems: () => 0,
    statuses: () => undefined,
    leading: () => true,
  };
  observe(metrics, input);
  observe(metrics, input);
  const text = await metrics.registry.metrics();
  expect(text).toContain('kgateway_collection_objects{collection="Secret"} 1');
  expect(text).toContain('kgateway_envoy_xds_rejects_active{gateway_namespace="ns",gateway_name="gw",type_url="t"} 1');
  expect(text).toContain('kgateway_leader 1');
  for (const name of Object.keys(metricsTable)) expect(metricsDocument()).toContain(name);
});
