/** Connections that stay open: routes and listeners come and go beside them, and none is ended or told to go. */
import { Agent, request } from 'node:http';
import { request as httpsRequest, Agent as HttpsAgent } from 'node:https';
import { type Socket, connect } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type XdsCertificate, createCertificate } from '../../../src/cmd/xds-certificate.ts';
import { type Backend, gatewayOf, routeOf, ruleOf, serviceOf, startBackend } from '../backend.ts';
import { secretOf, shownCertificate } from '../certificates.ts';
import { type LocalGateway, call, eventually, startLocalGateway } from '../local.ts';

let gateway: LocalGateway;
let one: Backend;
let pair: XdsCertificate;

const http = '{ name: http, protocol: HTTP, port: 80 }';
const https = (name: string, hostname: string, secret = 'pair'): string =>
  `{ name: ${name}, protocol: HTTPS, port: 443, hostname: ${hostname}, tls: { certificateRefs: [{ name: ${secret} }] } }`;
const anything = (name: string, hosts: readonly string[]): string => routeOf(name, hosts, [ruleOf('{ path: { value: / } }')]);

beforeAll(async () => {
  one = await startBackend('one');
  pair = await createCertificate(['a.example.com', 'b.example.com'], Date.now());
  gateway = await startLocalGateway(
    {
      'gateway.yaml': gatewayOf(http, https('a', 'a.example.com')),
      'secret.yaml': secretOf('pair', pair),
      'backends.yaml': serviceOf(one),
      'routes.yaml': anything('a', ['a.example.com']),
    },
    [80, 443, 8080, 9000],
  );
  await eventually('Envoy serves', async () => (await call(gateway.port(80), '/', { host: 'a.example.com' })).status === 200);
  await eventually('over HTTPS too', async () => (await secure('a.example.com')) === 200);
});

afterAll(async () => {
  expect(gateway.rejections()).toEqual([]);
  await gateway.stop();
  one.close();
});

const secure = async (host: string): Promise<number> =>
  (await call(gateway.port(443), '/', { host, tls: { ca: pair.ca, servername: host } })).status;

interface Held {
  /** True when it answers on the connection that it was opened on, and is not told to go. */
  alive(): Promise<boolean>;
  close(): void;
}

/** A connection that requests follow each other on. */
function keepAlive(tls: boolean): Held {
  const options = { keepAlive: true, maxSockets: 1 };
  const agent = tls ? new HttpsAgent({ ...options, ca: pair.ca, servername: 'a.example.com' }) : new Agent(options);
  let own: number | undefined;
  return {
    alive: () =>
      new Promise((resolve, reject) => {
        const make = tls ? httpsRequest : request;
        const port = gateway.port(tls ? 443 : 80);
        make({ host: '127.0.0.1', port, agent, setHost: false, headers: { host: 'a.example.com' } }, (response) => {
          own ??= response.socket.localPort;
          const good = response.statusCode === 200 && response.headers.connection !== 'close' && response.socket.localPort === own;
          response.resume().on('end', () => resolve(good));
        })
          .on('error', reject)
          .end();
      }),
    close: () => agent.destroy(),
  };
}

/** A WebSocket, as far as a proxy sees it: what is written comes back. */
async function webSocket(tls: boolean): Promise<Held> {
  const socket: Socket = tls
    ? connectTls({ host: '127.0.0.1', port: gateway.port(443), servername: 'a.example.com', ca: pair.ca })
    : connect(gateway.port(80), '127.0.0.1');
  let ended = false;
  socket.on('close', () => (ended = true)).on('error', () => (ended = true));
  const next = (text: string): Promise<string> =>
    new Promise((resolve, reject) => {
      socket.once('data', (data: Buffer) => resolve(data.toString()));
      socket.once('close', () => reject(new Error('the connection was closed')));
      socket.write(text);
    });
  const answer = await next('GET /ws HTTP/1.1\r\nhost: a.example.com\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n');
  expect(answer).toContain('101 Switching Protocols');
  return { alive: async () => !ended && (await next('hello')) === 'hello', close: () => socket.destroy() };
}

/** Counters of the listener manager and of connections that were told to go. */
async function stats(): Promise<Readonly<Record<string, number>>> {
  const { body } = await call(gateway.adminPort, '/stats?filter=listener_manager|downstream_cx_drain_close&format=json');
  const all = (JSON.parse(body) as { stats: { name: string; value: number }[] }).stats.filter((s) => typeof s.value === 'number');
  return Object.fromEntries(all.map((s) => [s.name, s.value]));
}

const listeners = (...more: readonly string[]): Promise<void> =>
  gateway.write('gateway.yaml', gatewayOf(http, https('a', 'a.example.com'), ...more));

/** What comes and goes; each resolves when Envoy has it. */
const changes: Readonly<Record<string, readonly [come: () => Promise<void>, go: () => Promise<void>]>> = {
  'a route of another host': [
    async () => {
      await gateway.write('b.yaml', anything('b', ['b.example.com']));
      await eventually('it serves', async () => (await call(gateway.port(80), '/', { host: 'b.example.com' })).status === 200);
    },
    async () => {
      await gateway.remove('b.yaml');
      await eventually('it is gone', async () => (await call(gateway.port(80), '/', { host: 'b.example.com' })).status === 404);
    },
  ],
  'a route of the same host': [
    async () => {
      await gateway.write('b.yaml', routeOf('b', ['a.example.com'], [`{ matches: [{ path: { value: /gone } }] }`]));
      await eventually('it serves', async () => (await call(gateway.port(80), '/gone', { host: 'a.example.com' })).status === 500);
    },
    async () => {
      await gateway.remove('b.yaml');
      await eventually('it is gone', async () => (await call(gateway.port(80), '/gone', { host: 'a.example.com' })).status === 200);
    },
  ],
  'an HTTP listener of another hostname on the same port': [
    async () => {
      await listeners("{ name: b, protocol: HTTP, port: 80, hostname: 'b.example.com' }");
      await gateway.write('b.yaml', routeOf('b', [], [ruleOf('{ path: { value: / } }')], '{ name: gw, sectionName: b }'));
      await eventually('it serves', async () => (await call(gateway.port(80), '/', { host: 'b.example.com' })).status === 200);
    },
    async () => {
      await gateway.remove('b.yaml');
      await listeners();
      await eventually('it is gone', async () => (await call(gateway.port(80), '/', { host: 'b.example.com' })).status === 404);
    },
  ],
  'an HTTPS listener of another hostname on the same port, a filter chain': [
    async () => {
      await listeners(https('b', 'b.example.com'));
      await gateway.write('b.yaml', anything('b', ['b.example.com']));
      await eventually('it serves', async () => (await secure('b.example.com')) === 200);
    },
    async () => {
      await gateway.remove('b.yaml');
      await listeners();
      await eventually('it is gone', async () => (await secure('b.example.com').catch(() => 'closed')) === 'closed');
    },
  ],
  'listeners of other ports': [
    async () => {
      await listeners('{ name: more, protocol: HTTP, port: 8080 }', '{ name: tcp, protocol: TCP, port: 9000 }');
      await eventually('it serves', async () => (await call(gateway.port(8080), '/', { host: 'a.example.com' })).status === 200);
    },
    async () => {
      await listeners();
      await eventually('it is gone', async () => (await call(gateway.port(8080), '/').catch(() => undefined)) === undefined);
    },
  ],
  'a new certificate of the own listener': [
    async () => {
      await gateway.write(
        'secret.yaml',
        secretOf('pair', await createCertificate(['a.example.com', 'b.example.com', 'new.example.com'], Date.now(), pair)),
      );
      await eventually('it is served', async () => (await subjectNames()).includes('new.example.com'));
    },
    async () => {
      await gateway.write('secret.yaml', secretOf('pair', pair));
      await eventually('the first is back', async () => !(await subjectNames()).includes('new.example.com'));
    },
  ],
};

const subjectNames = async (): Promise<string> => (await shownCertificate(gateway.port(443), 'a.example.com')).subjectaltname ?? '';

test.each(Object.keys(changes))('%s comes and goes', async (name) => {
  const [come, go] = changes[name] ?? [];
  const held = [keepAlive(false), keepAlive(true), await webSocket(false), await webSocket(true)];
  const alive = (): Promise<readonly boolean[]> => Promise.all(held.map((h) => h.alive()));
  expect(await alive()).toEqual([true, true, true, true]);
  const before = await stats();

  await come?.();
  expect(await alive()).toEqual([true, true, true, true]);
  await go?.();
  expect(await alive()).toEqual([true, true, true, true]);
  // Longer than an Envoy of this test takes to drain.
  await eventually('nothing drains any more', async () => {
    const { 'listener_manager.total_listeners_draining': whole, 'listener_manager.total_filter_chains_draining': chains } = await stats();
    return whole === 0 && chains === 0;
  });
  expect(await alive()).toEqual([true, true, true, true]);

  const after = await stats();
  const told = Object.keys(after).filter((stat) => stat.endsWith('downstream_cx_drain_close') && after[stat] !== (before[stat] ?? 0));
  expect(told).toEqual([]);
  // A listener that was changed, and not in place, has drained all its connections.
  const inPlace = (s: Readonly<Record<string, number>>): number => s['listener_manager.listener_in_place_updated'] ?? 0;
  const modified = (s: Readonly<Record<string, number>>): number => s['listener_manager.listener_modified'] ?? 0;
  expect(modified(after) - modified(before)).toBe(inPlace(after) - inPlace(before));
  for (const h of held) h.close();
});
