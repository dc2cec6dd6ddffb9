/**
 * The control plane by itself: everything that a change passes on its way to Envoy, as processes of this machine. No kubelet and no
 * controllers of Kubernetes run, so that thousands of Services cost nothing else.
 *
 *   bench --objects--> API server, etcd --watches--> controller (dist/kgateway.mjs) --xDS--> Envoy --> echo
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadAll } from 'js-yaml';
import { machineAddress } from '../test/integration/machine.ts';
import { freePort } from '../test/integration/ports.ts';
import { type Answer, type ApiServer, startApiServer, until } from '../test/integration/policy/api-server.ts';
import { type Envoy, startEnvoy } from '../test/integration/xds/proxy.ts';

const root = join(import.meta.dirname, '..');

/** Namespace and name of the one Gateway: what the role of the Envoy of the tests says. */
export const gateway = { namespace: 'web', name: 'gw' } as const;

export interface Plane extends AsyncDisposable {
  readonly server: ApiServer;
  readonly controller: ChildProcess;
  readonly envoy: Envoy;
  /** An HTTP server at an address that an EndpointSlice may carry. */
  readonly echo: { readonly address: string; readonly port: number };
  /** POSTs an object; resolves to what became of it. Throws unless it is there afterwards. */
  create(path: string, object: object): Promise<Answer['body']>;
}

export interface PlaneOptions {
  readonly waypoints: boolean;
  /** Flags of Node for the controller. Default: those of its image. */
  readonly flags?: readonly string[];
  /** Objects that are there before the controller starts, beside the CRDs and the namespace of the Gateway. */
  readonly objects?: (plane: Pick<Plane, 'create' | 'echo'>) => Promise<void>;
  /** Worker threads of Envoy. Default 2. */
  readonly concurrency?: number;
}

/** Starts all of it, the controller from a fresh bundle. */
export async function startPlane({ waypoints, flags = imageFlags(), objects, concurrency }: PlaneOptions): Promise<Plane> {
  execFileSync(process.execPath, [join(root, 'scripts/bundle.mjs')], { stdio: 'pipe' });
  const stack = new AsyncDisposableStack();
  try {
    const server = stack.use(await startApiServer());
    const create: Plane['create'] = async (path, object) => {
      const { status, body } = await server.call('POST', path, object);
      if (status > 299 && status !== 409) throw new Error(`${path}: ${status} ${body.message ?? ''}`);
      return body;
    };
    for (const folder of ['manifests/gateway-api', 'charts/kgateway-crds/templates']) await installCrds(server, join(root, folder));
    await create('/api/v1/namespaces', { metadata: { name: gateway.namespace } });
    await create('/api/v1/namespaces', { metadata: { name: 'kgateway-system' } });
    const echo = stack.use(await startEcho());
    await objects?.({ create, echo });
    const [xds, admin, health, metrics] = [await freePort(), await freePort(), await freePort(), await freePort()];
    const folder = mkdtempSync(join(tmpdir(), 'plane-'));
    stack.defer(() => rmSync(folder, { recursive: true }));
    const environment: NodeJS.ProcessEnv = {
      ...process.env,
      KUBECONFIG: server.kubeconfig,
      KGW_XDS_TLS: 'false',
      KGW_XDS_AUTH: 'false',
      KGW_XDS_SERVICE_PORT: String(xds),
      KGW_ADMIN_PORT: String(admin),
      KGW_HEALTH_PORT: String(health),
      KGW_METRICS_PORT: String(metrics),
      KGW_ENABLE_WAYPOINT: String(waypoints),
    };
    const start = async (): Promise<ChildProcess> => {
      const log = openSync(join(folder, 'log'), 'w');
      const child = spawn(process.execPath, [...flags, join(root, 'dist/kgateway.mjs')], { env: environment, stdio: ['ignore', log, log] });
      closeSync(log);
      await until('the controller is ready', async () => {
        if (child.exitCode !== null) throw new Error(readFileSync(join(folder, 'log'), 'utf8').slice(-2000));
        return (await fetch(`http://127.0.0.1:${health}/readyz`)).ok;
      });
      return child;
    };
    const end = async (child: ChildProcess): Promise<void> => {
      const exited = once(child, 'exit');
      child.kill();
      await exited;
    };
    const controller = await start();
    stack.defer(() => end(controller));
    const envoy = stack.use(await startEnvoy(xds, concurrency));
    const parts = stack.move();
    return {
      server,
      envoy,
      echo,
      create,
      controller,
      [Symbol.asyncDispose]: () => parts.disposeAsync(),
    };
  } finally {
    await stack.disposeAsync();
  }
}

/** Flags that the image of the controller starts Node with. */
function imageFlags(): readonly string[] {
  const [, flags = ''] =
    /'\/usr\/local\/bin\/node', (.*)'\/app\/kgateway\.mjs'/.exec(readFileSync(join(root, 'scripts/images.mjs'), 'utf8')) ?? [];
  return [...flags.matchAll(/'([^']+)'/g)].map(([, flag = '']) => flag);
}

async function installCrds(server: ApiServer, folder: string): Promise<void> {
  const path = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
  for (const file of readdirSync(folder).filter((name) => name.endsWith('.yaml'))) {
    for (const crd of loadAll(readFileSync(join(folder, file), 'utf8')) as ({ metadata: { name: string } } | null)[]) {
      if (!crd) continue;
      const { status, body } = await server.call('POST', path, crd);
      if (status > 299) throw new Error(`${crd.metadata.name}: ${status} ${body.message ?? ''}`);
      await until(`${crd.metadata.name} is established`, async () => {
        const conditions = (await server.call('GET', `${path}/${crd.metadata.name}`)).body.status?.['conditions'];
        return ((conditions ?? []) as { type: string; status: string }[]).some((c) => c.type === 'Established' && c.status === 'True');
      });
    }
  }
}

/** Lets the API server take a kind of Istio's, whatever its objects hold. */
export async function defineIstioKind({ create }: Pick<Plane, 'create'>, group: string, kind: string, plural: string): Promise<void> {
  const schema = { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } };
  await create('/apis/apiextensions.k8s.io/v1/customresourcedefinitions', {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.${group}` },
    spec: {
      group,
      names: { kind, plural },
      scope: 'Namespaced',
      versions: [{ name: 'v1', served: true, storage: true, subresources: { status: {} }, schema }],
    },
  });
}

async function startEcho(): Promise<{ readonly address: string; readonly port: number } & AsyncDisposable> {
  const address = machineAddress();
  const server = createServer((_, response) => response.end('ok')).listen(0, address);
  await once(server, 'listening');
  return {
    address,
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
