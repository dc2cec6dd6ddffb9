/**
 * `kgateway local FOLDER`: the whole controller on YAML files, with a real Envoy for each Gateway and an echo server for each backend, on loopback.
 *
 *   folder ─> Sources ─> wiring ─> xDS on 127.0.0.1 ─> Envoy      statuses ─> the terminal
 */
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { loadAll } from 'js-yaml';
import type { GatewayView } from '../gateway/gateway.ts';
import { routeSources } from '../gateway/routes.ts';
import { Graph, map } from '../krt/index.ts';
import { crdValidator } from '../kube/crd-validation.ts';
import { describeProblem, watchFolder } from '../kube/folder.ts';
import type { CustomResourceDefinition, EndpointSlice } from '../kube/types/core.ts';
import type { KubeObject } from '../kube/types/meta.ts';
import { startXdsServer } from '../xds/server.ts';
import { createResourceStore } from '../xds/store.ts';
import { type Echo, startEcho, startUdpEcho } from './echo-server.ts';
import { type EnvoyProcess, startEnvoy } from './envoy-process.ts';
import { freePorts } from './free-port.ts';
import { connectLines, curlLines, statusTable } from './local-report.ts';
import { pretendIngressGateways } from './ingress-gateways.ts';
import { fetchJwks } from './jwks.ts';
import type { Logger } from './log.ts';
import { objectSources } from './object-sources.ts';
import { type ObjectSources, createSources } from './sources.ts';
import { wire } from './wiring.ts';

export interface LocalOptions {
  readonly folder: string;
  /** Path of the Envoy binary. */
  readonly envoy: string;
  readonly log: Logger;
  readonly print: (text: string) => void;
}

export interface Local {
  stop(): Promise<void>;
}

const echoAnnotation = 'kgateway.dev/echo';

/** Ports below 1024 need privileges that nobody should need to try something out. */
function unprivileged(port: number): number {
  return port < 1024 ? port + 10_000 : port;
}

/** Each Gateway has a loopback address of its own, so that two of them can use the same port. */
class Places {
  readonly #addresses = new Map<string, string>();

  addressOf(gateway: string): string {
    const known = this.#addresses.get(gateway);
    if (known !== undefined) return known;
    const address = `127.0.0.${this.#addresses.size + 1}`;
    this.#addresses.set(gateway, address);
    return address;
  }
}

/** Runs until stopped. Throws when the folder cannot be read. */
export async function runLocal(o: LocalOptions): Promise<Local> {
  const graph = new Graph({
    onError: (collection, key, error) => o.log.error({ collection, key, err: error }, 'a transform failed; its last good output stays'),
  });
  const sources = createSources(graph);
  const places = new Places();
  const wiring = wire(graph, sources, {
    waypoints: true,
    inference: true,
    bind: (l) => ({ address: places.addressOf(l.scope), port: unprivileged(l.port) }),
    addresses: (gateways) =>
      map(graph, gateways, { name: 'Addresses' }, (_ctx, view) => ({ gateway: view.key, addresses: [places.addressOf(view.key)] })),
  });
  pretendIngressGateways(wiring.ingressGateways, sources.gateways);
  const jwks = fetchJwks(wiring.wantedJwks, sources.jwks, { log: o.log });
  const store = createResourceStore(wiring.resources);
  const server = await startXdsServer({
    address: '127.0.0.1:0',
    store,
    ready: () => graph.whenSynced(),
    proxies: sources.proxies,
    rejections: sources.rejections,
    log: o.log,
  });

  const processes = new Map<string, Promise<EnvoyProcess>>();
  wiring.api.gateways.subscribe(
    (events) => {
      for (const event of events) {
        if (event.type === 'add') processes.set(event.key, startProxy(event.key, o, server.port, processes.size));
        if (event.type === 'delete') void processes.get(event.key)?.then((p) => p.stop());
      }
    },
    { initial: true },
  );
  const echoes = followEchoes(sources.endpointSlices, o.log);
  followStatus(sources, wiring, places, o.print);

  const byKind = objectSources(sources);
  const folder = await watchFolder(
    o.folder,
    (object) => byKind[object.kind],
    (problem) => o.print(`  ! ${describeProblem(problem)}`),
    { validate: crdValidator(servedCrds()) },
  );
  for (const source of Object.values(byKind)) source.markSynced();
  o.print(`${folder.size} objects from ${o.folder}; changes are live as you save. Ctrl-C ends it.`);

  return {
    stop: async () => {
      await folder.stop();
      jwks.stop();
      await Promise.all([...processes.values()].map(async (p) => (await p).stop()));
      for (const echo of await Promise.all(echoes.values())) echo?.close();
      await server.close();
    },
  };
}

/** Of the administration of proxies: from where Envoy's is in a cluster. */
const adminPorts = freePorts(19_000);

async function startProxy(key: string, o: LocalOptions, xdsPort: number, index: number): Promise<EnvoyProcess> {
  const [namespace = '', name = ''] = key.split('/');
  const adminPort = await adminPorts();
  o.print(`Envoy for Gateway ${key}: administration at http://127.0.0.1:${adminPort}`);
  return startEnvoy({
    path: o.envoy,
    gateway: { namespace, name },
    xdsPort,
    adminPort,
    baseId: (process.pid % 10_000) * 10 + index,
    log: o.log,
  });
}

/** Starts an echo server at each address of a slice that asks for one. */
function followEchoes(slices: ObjectSources['endpointSlices'], log: Logger): Map<string, Promise<Echo | undefined>> {
  const echoes = new Map<string, Promise<Echo | undefined>>();
  slices.subscribe(
    (events) => {
      for (const event of events) if (event.type !== 'delete') startEchoes(event.new);
    },
    { initial: true },
  );
  return echoes;

  function startEchoes(slice: EndpointSlice): void {
    const name = slice.metadata.annotations?.[echoAnnotation];
    if (name === undefined) return;
    for (const address of (slice.endpoints ?? []).flatMap((e) => e.addresses)) {
      for (const { port, protocol } of slice.ports ?? []) {
        const place = `${address}:${port}/${protocol ?? 'TCP'}`;
        if (port === undefined || echoes.has(place)) continue;
        const started = (protocol === 'UDP' ? startUdpEcho : startEcho)(name, address, port).catch((error: unknown) => {
          log.warn({ place, err: error }, 'no echo server: if something else listens there, requests go to it');
          return undefined;
        });
        echoes.set(place, started);
      }
    }
  }
}

/** Prints the table when it has changed. */
function followStatus(sources: ObjectSources, wiring: ReturnType<typeof wire>, places: Places, print: (text: string) => void): void {
  let last = '';
  wiring.statuses.subscribe(
    () => {
      const text = statusTable(wiring.statuses.list());
      if (text === last) return;
      last = text;
      const place = (gateway: string, port: number): string => `${places.addressOf(gateway)}:${unprivileged(port)}`;
      const gateways = (key: string): GatewayView | undefined => wiring.api.gateways.get(key);
      const lines = routeSources(sources).flatMap(({ kind, routes }) =>
        kind === 'HTTPRoute' ? curlLines(sources.httpRoutes.list(), gateways, place) : connectLines(kind, routes.list(), gateways, place),
      );
      print(['', text, '', ...lines].join('\n'));
    },
    { initial: true },
  );
}

const root = join(import.meta.dirname, '../..');

/** The CRDs of everything that is served, out of the repository: to check and default objects as an API server would. */
export function servedCrds(): readonly CustomResourceDefinition[] {
  const folders = [
    'manifests/gateway-api',
    'manifests/gateway-api-legacy',
    'manifests/inference-extension',
    'charts/kgateway-crds/templates',
  ];
  const documents = folders.flatMap((folder) =>
    readdirSync(join(root, folder))
      .filter((file) => file.endsWith('.yaml'))
      .flatMap((file) => loadAll(readFileSync(join(root, folder, file), 'utf8')) as KubeObject[]),
  );
  return documents.filter((d): d is CustomResourceDefinition => d?.kind === 'CustomResourceDefinition');
}
