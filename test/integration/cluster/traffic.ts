// Closed-loop HTTP traffic: a few clients, each with one connection that it keeps, each with one request at a time. Everything that is not the
// expected status counts as a failure, and is remembered with its time.
import http from 'node:http';
import https from 'node:https';
import { setTimeout } from 'node:timers/promises';

export interface Target {
  /** IP address. */
  readonly address: string;
  readonly port?: number;
  /** Sent as Host, and with TLS as server name. */
  readonly host: string;
  readonly path?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** HTTPS, and whom to believe (PEM). */
  readonly tls?: { readonly ca: string };
  /** Milliseconds without a byte after which a request has failed. Default 10 s. */
  readonly timeout?: number;
}

export interface Answer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: string;
}

export interface TrafficOptions extends Target {
  /** Clients. Default 4. */
  readonly workers?: number;
  /** A connection for each request. Default false. */
  readonly newConnections?: boolean;
  /** What counts as success. Default 200. */
  readonly expected?: number;
}

export interface Traffic extends AsyncDisposable {
  /** Requests that were answered as expected. */
  readonly successes: number;
  /** What went wrong, with seconds since the start. */
  readonly failures: readonly string[];
  /** Resolves when `n` more requests have succeeded or failed: traffic has been going on meanwhile. */
  more(n: number): Promise<void>;
}

/** Milliseconds between requests of one client: the cluster and the test share a machine. */
const thinkTime = 4;

/** One request, on a connection of `agent`, by default one of its own. Rejects when there is no answer. */
export function send(target: Target, agent?: http.Agent): Promise<Answer> {
  const { address, tls, host, path = '/', headers, timeout = 10_000 } = target;
  const secure = tls !== undefined;
  const options: https.RequestOptions = {
    host: address,
    port: target.port ?? (secure ? 443 : 80),
    path,
    headers: { ...headers, host },
    timeout,
    agent: agent ?? false,
    ...(tls && { ca: tls.ca, servername: host }),
  };
  return new Promise((resolve, reject) => {
    const request = (secure ? https : http).request(options, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks).toString() }),
      );
    });
    request.on('timeout', () => request.destroy(new Error(`no answer within ${timeout} ms`)));
    request.on('error', reject);
    request.end();
  });
}

/** What the echo server says it got, and who it is. */
export interface Echo {
  readonly path: string;
  readonly pod: string;
  readonly namespace: string;
  readonly headers: Readonly<Record<string, readonly string[]>>;
}

/** The echo server's account of a request. Throws unless the answer is 200. */
export async function echo(target: Target): Promise<Echo> {
  const answer = await send(target);
  if (answer.status !== 200) throw new Error(`${answer.status}: ${answer.body.slice(0, 200)}`);
  return JSON.parse(answer.body) as Echo;
}

/** Starts the clients. */
export function startTraffic(o: TrafficOptions): Traffic {
  const startedAt = performance.now();
  const failures: string[] = [];
  const waiting = new Set<{ left: number; readonly resolve: () => void }>();
  const agents: http.Agent[] = [];
  let successes = 0;
  const end = new AbortController();

  const done = (failure: string | undefined): void => {
    if (failure === undefined) successes++;
    else failures.push(`${((performance.now() - startedAt) / 1000).toFixed(3)} s: ${failure}`);
    for (const waiter of waiting) {
      if (--waiter.left > 0) continue;
      waiting.delete(waiter);
      waiter.resolve();
    }
  };
  const once = async (agent: http.Agent): Promise<string | undefined> => {
    try {
      const { status, body } = await send(o, agent);
      return status === (o.expected ?? 200) ? undefined : `${status} ${body.slice(0, 200)}`;
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      return `${code ?? ''} ${message}`;
    }
  };
  const client = async (): Promise<void> => {
    const settings = { keepAlive: o.newConnections !== true, maxSockets: 1 };
    const agent = o.tls ? new https.Agent({ ...settings, maxCachedSessions: 0 }) : new http.Agent(settings);
    agents.push(agent);
    while (!end.signal.aborted) {
      done(await once(agent));
      await setTimeout(thinkTime);
    }
  };
  const clients = Array.from({ length: o.workers ?? 4 }, client);

  return {
    get successes() {
      return successes;
    },
    failures,
    more: (n) => new Promise((resolve) => waiting.add({ left: n, resolve })),
    async [Symbol.asyncDispose]() {
      end.abort();
      await Promise.all(clients);
      for (const agent of agents) agent.destroy();
    },
  };
}
