// A real etcd and kube-apiserver, for what only they can judge: structural schemas and CEL rules.
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { Agent, request } from 'undici';
import { freePort } from '../ports.ts';

/** Path of a program: on PATH, or built by test/lab into its cache. */
function program(name: string): string | undefined {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), join(homedir(), '.cache/lab/bin')];
  return folders.map((f) => join(f, name)).find((f) => existsSync(f));
}

const etcd = program('etcd');
const kubeApiserver = program('kube-apiserver');

/** Whether this machine has both programs: see test/lab. */
export const apiServerAvailable = etcd !== undefined && kubeApiserver !== undefined;

export interface Answer {
  readonly status: number;
  readonly body: { readonly message?: string; readonly spec?: Record<string, unknown>; readonly status?: Record<string, unknown> };
}

export interface ApiServer extends AsyncDisposable {
  /** Path of a kubeconfig that may do everything. */
  readonly kubeconfig: string;
  readonly call: (method: 'GET' | 'POST' | 'PATCH' | 'DELETE', path: string, body?: unknown) => Promise<Answer>;
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await exited;
}

/** Starts both on free ports of 127.0.0.1 with an empty store; anonymous callers may do nothing, we may do everything. */
export async function startApiServer(): Promise<ApiServer> {
  if (!etcd || !kubeApiserver) throw new Error('etcd and kube-apiserver are needed; see test/lab/README.md');
  const folder = mkdtempSync(join(tmpdir(), 'api-server-'));
  const key = join(folder, 'service-account.key');
  const tokens = join(folder, 'tokens.csv');
  execFileSync('openssl', ['genrsa', '-out', key, '2048'], { stdio: 'ignore' });
  writeFileSync(tokens, 'test,admin,admin,"system:masters"\n');
  const [client, peer, port] = [await freePort(), await freePort(), await freePort()];
  const store = `http://127.0.0.1:${client}`;
  const started = [
    spawn(
      etcd,
      ['--data-dir', join(folder, 'etcd'), '--listen-client-urls', store, '--advertise-client-urls', store].concat([
        '--listen-peer-urls',
        `http://127.0.0.1:${peer}`,
        '--unsafe-no-fsync',
      ]),
      { stdio: 'ignore' },
    ),
    spawn(
      kubeApiserver,
      [
        `--etcd-servers=${store}`,
        '--bind-address=127.0.0.1',
        `--secure-port=${port}`,
        `--cert-dir=${join(folder, 'certs')}`,
        '--service-account-issuer=https://kubernetes.default.svc',
        `--service-account-signing-key-file=${key}`,
        `--service-account-key-file=${key}`,
        `--token-auth-file=${tokens}`,
        '--authorization-mode=RBAC',
        '--service-cluster-ip-range=10.97.0.0/16',
      ],
      { stdio: 'ignore' },
    ),
  ];
  const kubeconfig = join(folder, 'kubeconfig');
  writeFileSync(kubeconfig, kubeconfigOf(`https://127.0.0.1:${port}`));
  const dispatcher = new Agent({ connect: { rejectUnauthorized: false } });
  const call: ApiServer['call'] = async (method, path, body) => {
    const response = await request(`https://127.0.0.1:${port}${path}`, {
      method,
      dispatcher,
      headers: { authorization: 'Bearer test', 'content-type': method === 'PATCH' ? 'application/merge-patch+json' : 'application/json' },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    const text = await response.body.text();
    return { status: response.statusCode, body: text.startsWith('{') ? (JSON.parse(text) as Answer['body']) : {} };
  };
  const dispose = async (): Promise<void> => {
    await dispatcher.destroy();
    for (const child of started.toReversed()) await stop(child);
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    await until('kube-apiserver is ready', async () => (await call('GET', '/readyz')).status === 200);
  } catch (error) {
    await dispose();
    throw error;
  }
  return { kubeconfig, call, [Symbol.asyncDispose]: dispose };
}

function kubeconfigOf(server: string): string {
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'test', cluster: { server, 'insecure-skip-tls-verify': true } }],
    users: [{ name: 'test', user: { token: 'test' } }],
    contexts: [{ name: 'test', context: { cluster: 'test', user: 'test' } }],
    'current-context': 'test',
  });
}

/** Polls until the condition holds; a call that fails counts as not yet. */
export async function until(what: string, holds: () => Promise<boolean>, timeoutMs = 60_000): Promise<void> {
  const end = performance.now() + timeoutMs;
  while (performance.now() < end) {
    if (await holds().catch(() => false)) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`timed out waiting until ${what}`);
}
