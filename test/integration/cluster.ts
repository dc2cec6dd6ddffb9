// The cluster that tests with a real API server use: yours ($KUBECONFIG), else the lab, brought up on first use and left up.
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, connect } from 'node:net';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { kubeClient } from '../../src/kube/client.ts';
import type { KubeClient } from '../../src/kube/client.ts';
import type { Credentials } from '../../src/kube/credentials.ts';
import { defaultCredentials } from '../../src/kube/credentials.ts';
import { Namespaces } from '../../src/kube/resources.ts';
import { freePort } from './ports.ts';

let found: Promise<string> | undefined;

/** Path of the kubeconfig. @throws when no cluster can be had; the message says how to get one. */
export function kubeconfig(): Promise<string> {
  found ??= findKubeconfig();
  return found;
}

async function findKubeconfig(): Promise<string> {
  const own = process.env['KUBECONFIG'];
  if (own) return own;
  const lab = join(import.meta.dirname, '../lab/lab');
  const { stdout } = await promisify(execFile)(lab, ['kubeconfig']);
  const path = stdout.trim().split('\n').at(-1);
  if (!path) throw new Error('test/lab/lab kubeconfig printed no path: set KUBECONFIG to a cluster, or run test/lab/lab build and up.');
  return path;
}

/** A client of that cluster, as its administrator. */
export async function clusterClient(): Promise<KubeClient> {
  return kubeClient({ credentials: await defaultCredentials(await kubeconfig()), userAgent: 'kgateway-test' });
}

/** A namespace of its own for a test; disposing it deletes it and all it holds. */
export async function testNamespace(client: KubeClient): Promise<{ readonly name: string } & AsyncDisposable> {
  const name = `test-${randomBytes(4).toString('hex')}`;
  await client.create(Namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name } });
  return { name, [Symbol.asyncDispose]: async () => void (await client.delete(Namespaces, name)) };
}

/** A TCP relay in front of the API server: what a client sees of a restart, without taking the API server from everybody else. */
export interface Relay extends AsyncDisposable {
  readonly credentials: Credentials;
  /** Resets all connections and refuses new ones. */
  down(): Promise<void>;
  up(): Promise<void>;
  /** Connections accepted since the start. */
  readonly accepted: number;
}

/** Starts a relay to the API server of `credentials`. */
export async function relay(credentials: Credentials): Promise<Relay> {
  const { hostname, port: target } = new URL(credentials.server);
  const sockets = new Set<Socket>();
  let accepted = 0;
  const port = await freePort();
  const server = createServer((client) => {
    accepted++;
    const upstream = connect(Number(target || 443), hostname);
    for (const [a, b] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(a);
      a.on('error', () => b.destroy());
      a.on('close', () => {
        sockets.delete(a);
        b.destroy();
      });
      a.pipe(b);
    }
  });
  const up = async (): Promise<void> => {
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
  };
  const down = async (): Promise<void> => {
    const closed = once(server, 'close');
    server.close();
    for (const socket of sockets) socket.resetAndDestroy();
    await closed;
  };
  await up();
  return {
    credentials: {
      ...credentials,
      server: `https://127.0.0.1:${port}`,
      session: async () => {
        const session = await credentials.session();
        // Every API server's certificate has this name.
        return { ...session, tls: { ...session.tls, servername: 'kubernetes.default.svc' } };
      },
    },
    up,
    down,
    get accepted() {
      return accepted;
    },
    [Symbol.asyncDispose]: async () => {
      if (server.listening) await down();
    },
  };
}
