/** The three small HTTP servers: health for the kubelet, metrics for Prometheus, and on loopback the views into the running controller. */
import { Session } from 'node:inspector/promises';
import { setTimeout } from 'node:timers/promises';
import { type IncomingMessage, type Server, type ServerResponse, createServer } from 'node:http';
import type { Graph } from '../krt/index.ts';
import type { ProxyDebug } from '../xds/server.ts';
import { type Logger, logLevels } from './log.ts';

type Answer = { readonly status?: number; readonly type?: string; readonly body: string };
type Route = (url: URL, method: string) => Answer | Promise<Answer>;

const json = (value: unknown): Answer => ({ type: 'application/json', body: `${JSON.stringify(value, null, 2)}\n` });

/** Serves a table of paths. Rejects when the port is taken. */
export function serve(address: string, port: number, routes: Readonly<Record<string, Route>>): Promise<Server> {
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const url = new URL(request.url ?? '/', 'http://localhost');
    const route = routes[url.pathname];
    let found: Answer;
    try {
      found = route
        ? await route(url, request.method ?? 'GET')
        : { status: 404, body: `not found; there are ${Object.keys(routes).join(', ')}\n` };
    } catch (error) {
      found = { status: 500, body: `${error instanceof Error ? error.message : String(error)}\n` };
    }
    response.writeHead(found.status ?? 200, { 'content-type': found.type ?? 'text/plain; charset=utf-8' }).end(found.body);
  };
  const server = createServer((request, response) => void answer(request, response));
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, address, () => resolve(server));
  });
}

/** `/healthz`: the event loop answers. `/readyz`: the first configuration was computed. */
export function healthRoutes(ready: () => string | undefined): Readonly<Record<string, Route>> {
  return {
    '/healthz': () => ({ body: 'ok\n' }),
    '/readyz': () => {
      const waitingFor = ready();
      return waitingFor === undefined ? { body: 'ok\n' } : { status: 503, body: `waiting for ${waitingFor}\n` };
    },
  };
}

const maxProfileSeconds = 120;

/** A CPU profile of the next seconds, in the form that Chrome's DevTools and speedscope read. */
async function cpuProfile(seconds: number): Promise<Answer> {
  if (!(seconds > 0 && seconds <= maxProfileSeconds)) return { status: 400, body: `seconds must be from 1 to ${maxProfileSeconds}\n` };
  const session = new Session();
  session.connect();
  try {
    await session.post('Profiler.enable');
    await session.post('Profiler.start');
    await setTimeout(seconds * 1000);
    const { profile } = await session.post('Profiler.stop');
    return { type: 'application/json', body: JSON.stringify(profile) };
  } finally {
    session.disconnect();
  }
}

export interface DebugInputs {
  readonly graph: Graph;
  readonly proxies: () => readonly ProxyDebug[];
  readonly log: Logger;
  readonly version: string;
}

/** Views of kgateway's admin server, under its paths and ours. Objects are shown by name only: they may hold secrets. */
export function debugRoutes(o: DebugInputs): Readonly<Record<string, Route>> {
  const krt: Route = (url) => {
    const names = url.searchParams.getAll('collection');
    return json(o.graph.dump(names.length > 0 ? { collections: names } : {}));
  };
  const xds: Route = (url) => {
    const gateway = url.searchParams.get('gateway');
    return json(o.proxies().filter((p) => gateway === null || p.scope === gateway));
  };
  const routes: Record<string, Route> = {
    '/debug/krt': krt,
    '/snapshots/krt': krt,
    '/debug/xds': xds,
    '/snapshots/xds': xds,
    '/debug/graph': () => ({ body: o.graph.mermaid() }),
    '/debug/stats': () => json(o.graph.stats()),
    '/debug/profile': (url) => cpuProfile(Number(url.searchParams.get('seconds') ?? 10)),
    '/debug/memory': () => json(process.memoryUsage()),
    '/version': () => json({ version: o.version, node: process.version }),
    '/logging': (url, method) => {
      const level = url.searchParams.get('level');
      if (method === 'POST' && level !== null) {
        if (!logLevels.some((l) => l === level)) return { status: 400, body: `level ${level} is unknown; use ${logLevels.join(', ')}\n` };
        o.log.level = level;
      }
      return json({ level: o.log.level });
    },
  };
  return { '/': () => ({ body: `${Object.keys(routes).join('\n')}\n` }), ...routes };
}
