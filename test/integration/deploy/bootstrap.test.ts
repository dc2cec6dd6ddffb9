import { execFile, execFileSync, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { bootstrapYaml, caSecret, envoyBootstrap, tokenSecret } from '../../../src/deploy/bootstrap.ts';
import { drainBootstrap } from '../../../src/deploy/drain.ts';
import type { EnvoyJson } from '../../../src/deploy/static-resources.ts';
import { envoyPath } from '../envoy.ts';
import { freePort } from '../ports.ts';
import { deltaServer } from './delta-server.ts';

const run = promisify(execFile);
const gateway = { namespace: 'demo', name: 'edge' };
let folder: string;
let started: ChildProcess[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'kgateway-bootstrap-'));
});

afterEach(async () => {
  for (const child of started) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGTERM');
    await gone;
  }
  started = [];
  rmSync(folder, { recursive: true });
});

function file(name: string, content: string): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

function start(name: string, bootstrap: EnvoyJson): ChildProcess {
  const path = file(`${name}.yaml`, bootstrapYaml(bootstrap));
  const args = ['-c', path, '--disable-hot-restart', '--concurrency', '1', '--log-level', 'error'];
  const child = spawn(envoyPath(), [...args, '--service-node', name], { stdio: ['ignore', 'ignore', 'inherit'] });
  started.push(child);
  return child;
}

/** Status of a GET, 0 when nothing listens. */
async function status(port: number, path: string, method = 'GET'): Promise<number> {
  return await fetch(`http://127.0.0.1:${port}${path}`, { method }).then(
    (r) => r.status,
    () => 0,
  );
}

/** A folder as the kubelet lays out a projected volume: `..data` is a link that is moved when the content changes. */
function projected(fileName: string): { readonly path: string; set(content: string): void } {
  const at = join(folder, `projected-${fileName}`);
  mkdirSync(at);
  symlinkSync(`..data/${fileName}`, join(at, fileName));
  let generation = 0;
  return {
    path: at,
    set(content) {
      generation += 1;
      mkdirSync(join(at, `..${generation}`));
      writeFileSync(join(at, `..${generation}`, fileName), content);
      symlinkSync(`..${generation}`, join(at, '..tmp'));
      renameSync(join(at, '..tmp'), join(at, '..data'));
    },
  };
}

/** A CA and a certificate of `localhost`, made new. */
function certificate(): { readonly ca: string; readonly key: Buffer; readonly cert: Buffer } {
  const at = (name: string) => join(folder, name);
  const selfSigned = (name: string, subject: string, ...more: readonly string[]) => {
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', at(`${name}.key`)];
    const request = ['req', '-x509', ...key, '-out', at(`${name}.crt`), '-subj', `/CN=${subject}`, '-days', '1', ...more];
    execFileSync('openssl', request, { stdio: 'pipe' });
  };
  selfSigned('ca', 'ca');
  const issuer = ['-CA', at('ca.crt'), '-CAkey', at('ca.key')];
  selfSigned('tls', 'xds', ...issuer, '-addext', 'subjectAltName=DNS:localhost', '-addext', 'basicConstraints=critical,CA:FALSE');
  return { ca: readFileSync(at('ca.crt'), 'utf8'), key: readFileSync(at('tls.key')), cert: readFileSync(at('tls.crt')) };
}

describe('Envoy accepts', () => {
  const tls = () => ({ path: file('ca.json', caSecret(file('ca.crt', certificate().ca), 'localhost')), watchedDirectory: folder });
  const token = () => ({ path: file('token.json', tokenSecret(file('token', 'secret'))), watchedDirectory: folder });
  test.each<[string, () => EnvoyJson]>([
    [
      'the bootstrap of a proxy in a cluster',
      () =>
        envoyBootstrap({
          gateway,
          xds: { host: 'kgateway.kgateway-system.svc', port: 9977, ca: tls(), token: token() },
          readiness: { port: 8082, acceptProxyProtocol: true },
          metrics: { port: 9091 },
          bindAddress: '::',
          logFormat: { json: { message: '%j', level: '%l' } },
        }),
    ],
    [
      'the bootstrap of a local proxy',
      () => envoyBootstrap({ gateway, nodeId: 'local', xds: { host: '127.0.0.1', port: 9977 }, adminPort: 19_999 }),
    ],
    ['the one that drains', () => drainBootstrap(10)],
  ])('%s', async (_name, bootstrap) => {
    const path = file('envoy.yaml', bootstrapYaml(bootstrap()));
    const { stderr } = await run(envoyPath(), ['--mode', 'validate', '-c', path, '--service-node', 'n', '--log-level', 'warning']);
    expect(stderr).not.toMatch(/deprecat|warning/i);
  });
});

test('statistics of clusters begin with their first request', async () => {
  const server = await deltaServer();
  const admin = await freePort();
  start(
    'stats',
    envoyBootstrap({ gateway, xds: { host: '127.0.0.1', port: server.port }, adminPort: admin, readiness: { port: await freePort() } }),
  );
  const stats = async (): Promise<string> => (await fetch(`http://127.0.0.1:${admin}/stats`)).text();
  await vi.waitFor(async () => expect(await stats()).toContain('cluster.xds'), 10_000);
  expect(await stats()).toContain('cluster.xds_cluster.upstream_rq_total');
  expect(await stats()).not.toContain('cluster.admin.upstream_rq_total');
  await server.close();
});

test('a proxy is ready when its first configuration has arrived, not before', async () => {
  const server = await deltaServer();
  const [admin, readiness, metrics] = [await freePort(), await freePort(), await freePort()];
  start(
    'ready',
    envoyBootstrap({
      gateway,
      xds: { host: '127.0.0.1', port: server.port },
      adminPort: admin,
      readiness: { port: readiness },
      metrics: { port: metrics },
    }),
  );
  await vi.waitFor(() => expect(server.tokens).toHaveLength(1), 10_000);
  await vi.waitFor(async () => expect(await status(admin, '/ready')).toBe(503), 10_000);
  expect(await status(readiness, '/ready')).not.toBe(200);

  server.answer();
  await vi.waitFor(async () => expect(await status(readiness, '/ready')).toBe(200), 10_000);
  expect(await status(metrics, '/metrics')).toBe(200);
  for (const port of [readiness, metrics]) {
    expect(await status(port, '/config_dump')).toBe(404);
    expect(await status(port, '/quitquitquit', 'POST')).toBe(404);
  }
  expect(await status(readiness, '/ready', 'POST')).toBe(404);
  await server.close();
});

test('the token goes over TLS to the named server only, and a rotated one with the next stream', async () => {
  const made = certificate();
  const server = await deltaServer(made);
  server.answer();
  const [token, ca] = [projected('xds-token'), projected('ca.crt')];
  token.set('first');
  ca.set(made.ca);
  const xds = (serverName: string) => ({
    host: 'localhost',
    port: server.port,
    ca: { path: file('ca.json', caSecret(join(ca.path, 'ca.crt'), serverName)), watchedDirectory: ca.path },
    token: { path: file('token.json', tokenSecret(join(token.path, 'xds-token'))), watchedDirectory: token.path },
  });
  const admin = await freePort();
  start('token', envoyBootstrap({ gateway, xds: xds('localhost'), adminPort: admin }));
  await vi.waitFor(() => expect(server.tokens.at(-1)).toBe('Bearer first'), 10_000);

  token.set('second');
  await vi.waitFor(
    () => {
      server.endStreams();
      expect(server.tokens.at(-1)).toBe('Bearer second');
    },
    { timeout: 30_000, interval: 500 },
  );

  const seen = server.tokens.length;
  const other = await freePort();
  started[0]?.kill('SIGTERM');
  start('stranger', envoyBootstrap({ gateway, xds: xds('somebody.else'), adminPort: other }));
  await vi.waitFor(async () => {
    const stats = await (await fetch(`http://127.0.0.1:${other}/stats?filter=xds_cluster.ssl.fail_verify_san`)).text();
    expect(Number(stats.split(': ')[1])).toBeGreaterThan(0);
  }, 10_000);
  expect(server.tokens).toHaveLength(seen);
  await server.close();
});

test('the second Envoy makes the first one fail its health checks and ask clients to go, then ends by itself', async () => {
  const server = await deltaServer();
  server.answer();
  const [admin, readiness] = [await freePort(), await freePort()];
  const proxy = start(
    'drained',
    envoyBootstrap({ gateway, xds: { host: '127.0.0.1', port: server.port }, adminPort: admin, readiness: { port: readiness } }),
  );
  await vi.waitFor(async () => expect(await status(readiness, '/ready')).toBe(200), 10_000);

  const begun = Date.now();
  const drain = start('drain', drainBootstrap(2, admin));
  const ended = new Promise((resolve) => drain.once('exit', resolve));
  await vi.waitFor(async () => {
    const answer = await fetch(`http://127.0.0.1:${readiness}/ready`);
    expect([answer.status, answer.headers.get('connection')]).toEqual([503, 'close']);
  }, 10_000);
  expect(drain.exitCode).toBe(null);
  expect(await ended).toBe(0);
  expect(Date.now() - begun).toBeGreaterThanOrEqual(2000);
  expect(proxy.exitCode).toBe(null);
  await server.close();
});
