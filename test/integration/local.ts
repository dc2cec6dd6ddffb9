/**
 * The whole controller on a folder of YAML files with a real Envoy, for tests of traffic: the pieces of `kgateway local`, on free ports.
 *
 *   files ─> Sources ─> wiring ─> xDS ─> Envoy ─> backends (test/integration/backend.ts)
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type IncomingHttpHeaders, type OutgoingHttpHeaders, request as httpRequest } from 'node:http';
import { connect } from 'node:http2';
import { request as httpsRequest } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startEnvoy } from '../../src/cmd/envoy-process.ts';
import { pretendIngressGateways } from '../../src/cmd/ingress-gateways.ts';
import { servedCrds } from '../../src/cmd/local.ts';
import { crdValidator } from '../../src/kube/crd-validation.ts';
import { createLogger } from '../../src/cmd/log.ts';
import { objectSources } from '../../src/cmd/object-sources.ts';
import { createSources } from '../../src/cmd/sources.ts';
import { wire } from '../../src/cmd/wiring.ts';
import type { Place } from '../../src/ir/backend.ts';
import { describeRef } from '../../src/ir/object-ref.ts';
import type { StatusReport } from '../../src/ir/report.ts';
import { type Collection, Graph, map } from '../../src/krt/index.ts';
import { describeProblem, watchFolder } from '../../src/kube/folder.ts';
import type { XdsResource } from '../../src/xds/resource.ts';
import { startXdsServer } from '../../src/xds/server.ts';
import { createResourceStore } from '../../src/xds/store.ts';
import { envoyPath } from './envoy.ts';
import { freePorts } from './ports.ts';

export interface LocalGateway {
  /** The port on 127.0.0.1 behind which a listener's port is. */
  port(listenerPort: number): number;
  readonly adminPort: number;
  /** Writes a file of the folder and waits until it is loaded. */
  write(file: string, text: string): Promise<void>;
  remove(file: string): Promise<void>;
  /** What does not work in the folder. */
  problems(): readonly string[];
  /** Status of an object as `Kind namespace/name`. */
  status(object: string): StatusReport | undefined;
  /** What Envoy refused; nothing, in a test where all goes well. */
  rejections(): readonly string[];
  /** Process id of the running Envoy. */
  pid(): number | undefined;
  stop(): Promise<void>;
}

export interface LocalOptions {
  /** The Gateway whose proxy runs; `default/gw` unless given. */
  readonly gateway?: { readonly namespace: string; readonly name: string };
  /** Where the proxy is said to run. */
  readonly placeOf?: () => Place;
  /** Other bytes for a resource, such as Envoy refuses. */
  readonly spoil?: (resource: XdsResource) => Uint8Array | undefined;
  /** Where the proxy finds its certificate of the mesh. */
  readonly identityFolder?: string;
  /** Where the proxy resolves names; absent: as this machine does. */
  readonly dnsServer?: { readonly address: string; readonly port: number };
}

/** Starts the controller with one Gateway, `default/gw` unless given, whose listeners use only `ports`. */
export async function startLocalGateway(
  files: Readonly<Record<string, string>>,
  ports: readonly number[],
  { placeOf = () => ({}), spoil, identityFolder, dnsServer, gateway = { namespace: 'default', name: 'gw' } }: LocalOptions = {},
): Promise<LocalGateway> {
  const folder = mkdtempSync(join(tmpdir(), 'kgateway-local-'));
  for (const [file, text] of Object.entries(files)) writeFileSync(join(folder, file), text);
  const [adminPort = 0, ...free] = await freePorts(ports.length + 1);
  const places = new Map(ports.map((port, i) => [port, free[i] ?? 0]));
  const log = createLogger('error', 2);

  const failures: string[] = [];
  const graph = new Graph({ onError: (collection, key, error) => failures.push(`${collection} ${key}: ${String(error)}`) });
  const sources = createSources(graph);
  const wiring = wire(graph, sources, {
    waypoints: true,
    inference: true,
    weightedRoutes: true,
    ...(identityFolder !== undefined && { identityFolder }),
    bind: (l) => ({ address: '127.0.0.1', port: places.get(l.port) ?? 0 }),
    addresses: (gateways) => map(graph, gateways, { name: 'Addresses' }, (_ctx, view) => ({ gateway: view.key, addresses: ['127.0.0.1'] })),
  });
  pretendIngressGateways(wiring.ingressGateways, sources.gateways);
  const server = await startXdsServer({
    address: '127.0.0.1:0',
    store: createResourceStore(spoil ? spoiled(wiring.resources, spoil) : wiring.resources),
    ready: () => graph.whenSynced(),
    proxies: sources.proxies,
    rejections: sources.rejections,
    placeOf,
    log,
  });
  const baseId = 100_000 + (adminPort % 60_000);
  const envoy = startEnvoy({
    path: envoyPath(),
    gateway,
    xdsPort: server.port,
    adminPort,
    baseId,
    log,
    istioMetrics: ports.includes(15_088),
    ...(dnsServer && { dnsServer }),
  });
  const byKind = objectSources(sources);
  const watched = await watchFolder(
    folder,
    (object) => byKind[object.kind],
    () => {},
    {
      validate: crdValidator(servedCrds()),
      poll: 60_000,
    },
  );
  for (const source of Object.values(byKind)) source.markSynced();

  return {
    adminPort,
    port: (listenerPort) => places.get(listenerPort) ?? 0,
    write: async (file, text) => {
      writeFileSync(join(folder, file), text);
      await watched.rescan();
    },
    remove: async (file) => {
      rmSync(join(folder, file));
      await watched.rescan();
    },
    problems: () => watched.problems.map(describeProblem),
    status: (object) => wiring.statuses.list().find((s) => describeRef(s.object) === object),
    rejections: () => [...failures, ...sources.rejections.list().map((r) => `${r.name}: ${r.message}`)],
    pid: () => childWith(`--base-id ${baseId}`),
    stop: async () => {
      await watched.stop();
      await envoy.stop();
      await server.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function spoiled(
  resources: Collection<XdsResource>,
  spoil: NonNullable<LocalOptions['spoil']>,
): Pick<Collection<XdsResource>, 'subscribe'> {
  const change = (r: XdsResource): XdsResource => ({ ...r, bytes: spoil(r) ?? r.bytes });
  return {
    subscribe: (handler, o) =>
      resources.subscribe((events) => handler(events.map((e) => (e.type === 'delete' ? e : { ...e, new: change(e.new) }))), o),
  };
}

/** The child of this process whose command line holds `text`. */
function childWith(text: string): number | undefined {
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      if (!readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').includes(text)) continue;
      if (readFileSync(`/proc/${pid}/status`, 'utf8').includes(`\nPPid:\t${process.pid}\n`)) return Number(pid);
    } catch {
      // It has ended meanwhile.
    }
  }
  return undefined;
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** What an echo backend answers (backend.ts). */
export interface Echo {
  readonly service: string;
  readonly method: string;
  readonly path: string;
  readonly host: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly version: string;
}

/** The body of an answer of an echo backend. Throws when it is from somewhere else. */
export function echoOf(answer: Answer): Echo {
  if (answer.status !== 200) throw new Error(`not an answer of a backend: ${answer.status} ${answer.body}`);
  return JSON.parse(answer.body) as Echo;
}

export interface Call {
  readonly host?: string;
  readonly method?: string;
  readonly headers?: OutgoingHttpHeaders;
  readonly body?: string;
  /** HTTPS: the CA that must have signed, and the name asked for. */
  readonly tls?: { readonly ca: string; readonly servername?: string };
}

/** One request on a connection of its own. `target` is the request line's, absolute form allowed. */
export function call(
  port: number,
  target: string,
  { host = 'a.example.com', method = 'GET', headers = {}, body, tls }: Call = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const common = { host: '127.0.0.1', port, method, path: target, setHost: false, agent: false, headers: { host, ...headers } } as const;
    const request = tls ? httpsRequest({ ...common, ca: tls.ca, servername: tls.servername ?? host }) : httpRequest(common);
    request.on('response', (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks).toString() }),
      );
    });
    request.on('error', reject);
    request.end(body);
  });
}

/** One request over HTTP/2 with prior knowledge. */
export function callH2c(port: number, headers: OutgoingHttpHeaders): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const session = connect(`http://127.0.0.1:${port}`);
    session.on('error', reject);
    const stream = session.request(headers);
    let answer: IncomingHttpHeaders & { ':status'?: number | undefined } = {};
    const chunks: Buffer[] = [];
    stream.on('response', (h) => (answer = h));
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('error', reject);
    stream.on('end', () => {
      session.close();
      resolve({ status: answer[':status'] ?? 0, headers: answer, body: Buffer.concat(chunks).toString() });
    });
    stream.end();
  });
}

/** Asks again until it is so. An error of the question counts as not yet; the deadline says what came last. */
export async function eventually(what: string, check: () => unknown, deadlineMs = 20_000): Promise<void> {
  const deadline = performance.now() + deadlineMs;
  let last: unknown;
  do {
    try {
      last = await check();
      if (last) return;
    } catch (error) {
      last = error;
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  } while (performance.now() < deadline);
  throw new Error(`timed out waiting until ${what}; last: ${String(last)}`);
}

/** Makes requests all the time while `change` runs and for some time after; returns what went wrong with them. */
export async function problemsDuring(request: () => Promise<Answer>, change: () => Promise<void>): Promise<readonly unknown[]> {
  const problems: unknown[] = [];
  const end = new AbortController();
  let requests = 0;
  const client = async (): Promise<void> => {
    while (!end.signal.aborted) {
      const status = await request().then(
        (answer) => answer.status,
        (error: unknown) => error,
      );
      if (status !== 200) problems.push(status);
      requests++;
    }
  };
  const clients = [client(), client()];
  try {
    await eventually('there is traffic', () => requests > 20);
    await change();
    const after = requests;
    await eventually('there is traffic after the change', () => requests > after + 20);
  } finally {
    end.abort();
    await Promise.all(clients);
  }
  return problems;
}
