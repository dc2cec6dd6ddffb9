// A namespace in the cluster in which scripts/install.sh has installed the charts, and what the tests there have in common.
//   [test file] -> useCluster() -> namespace, objects from YAML, conditions with a deadline; after the file: the controller's log has no complaint
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { loadAll } from 'js-yaml';
import { afterAll, beforeAll, expect, vi } from 'vitest';
import { controllerName } from '../../../src/gateway/conditions.ts';
import type { KubeClient } from '../../../src/kube/client.ts';
import { Deployments, Gateways, HTTPRoutes, Pods, resourceOf } from '../../../src/kube/resources.ts';
import type { Resource } from '../../../src/kube/resources.ts';
import type { Pod } from '../../../src/kube/types/core.ts';
import type { Condition, KubeObject } from '../../../src/kube/types/meta.ts';
import { groupOf } from '../../../src/kube/types/meta.ts';
import { clusterClient, kubeconfig, testNamespace } from '../cluster.ts';
import { startTraffic } from './traffic.ts';
import type { Traffic, TrafficOptions } from './traffic.ts';

export const installNamespace = 'kgateway-system';
const controllerSelector = 'app.kubernetes.io/component=controller,app.kubernetes.io/name=kgateway';
export const labHome = process.env['LAB_HOME'] ?? join(homedir(), '.cache', 'lab');
const environment = { ...process.env, PATH: [process.env['PATH'], join(labHome, 'bin')].join(delimiter) };

/** Calls `probe` until it throws no more; its last complaint is that of the test when the time is up. */
export function eventually<T>(probe: () => T | Promise<T>, seconds = 30): Promise<T> {
  return vi.waitFor(probe, { timeout: seconds * 1000, interval: 50 });
}

/** `Type=Status Reason` of each condition, sorted. */
export function described(conditions: readonly Condition[] = []): readonly string[] {
  return conditions.map((c) => `${c.type}=${c.status} ${c.reason}`).sort();
}

export interface Cluster {
  readonly client: KubeClient;
  /** Of the file alone; deleted when it ends. */
  readonly namespace: string;
  /** Applies YAML documents; in the file's namespace where they name none. */
  apply(yaml: string): Promise<void>;
  get<T extends KubeObject>(r: Resource<T>, name: string): Promise<T>;
  remove(r: Resource, ...names: readonly string[]): Promise<void>;
  /** Merge patch. */
  patch(r: Resource, name: string, patch: object): Promise<void>;
  /** `Type=Status Reason` of the conditions of a Gateway, and of one of its listeners. */
  gatewayConditions(name: string, listener?: string): Promise<readonly string[]>;
  /** Our conditions on an HTTPRoute, of its first parent. */
  routeConditions(name: string): Promise<readonly Condition[]>;
  /** The address of a Gateway, once it is programmed as it is now and its proxies run. */
  address(gateway: string): Promise<string>;
  /** Resolves when all Pods of the Deployment are new and ready. */
  rolledOut(deployment: string, namespace?: string): Promise<void>;
  pods(labelSelector: string, namespace?: string): Promise<readonly Pod[]>;
  /** Starts traffic that is stopped at the end of the test that says `await using`. Resolves when requests succeed. */
  traffic(o: TrafficOptions): Promise<Traffic>;
}

/** To be called at the top of a test file. */
export function useCluster(): Cluster {
  let client: KubeClient | undefined;
  let namespace: (AsyncDisposable & { readonly name: string }) | undefined;
  const startedAt = new Date();

  beforeAll(async () => {
    client = await clusterClient();
    namespace = await testNamespace(client);
  });
  afterAll(async () => {
    await namespace?.[Symbol.asyncDispose]();
    await client?.close();
    const log = await controllerLog(startedAt);
    expect(await missingRights(log)).toEqual([]);
    expect(log.filter((line) => /this is a bug/i.test(line))).toEqual([]);
  });

  const api = (): KubeClient => {
    if (!client) throw new Error('The cluster is there in hooks and tests, not before.');
    return client;
  };
  const keyOf = (r: Resource, name: string): string => (r.namespaced && !name.includes('/') ? `${me.namespace}/${name}` : name);

  const me: Cluster = {
    get client() {
      return api();
    },
    get namespace() {
      return namespace?.name ?? '';
    },
    async apply(yaml) {
      for (const object of loadAll(yaml) as KubeObject[]) {
        const resource = resourceOf(groupOf(object.apiVersion), object.kind);
        if (!resource) throw new Error(`${object.kind} of ${object.apiVersion} is not in the table of resources`);
        const place = resource.namespaced ? { namespace: me.namespace } : {};
        await api().apply(resource, { ...object, metadata: { ...place, ...object.metadata } }, { fieldManager: 'test' });
      }
    },
    async get(r, name) {
      const object = await api().get(r, keyOf(r, name));
      if (!object) throw new Error(`${r.kind} ${name} does not exist`);
      return object;
    },
    async remove(r, ...names) {
      await Promise.all(names.map((name) => api().delete(r, keyOf(r, name))));
    },
    async patch(r, name, patch) {
      await api().patch(r, keyOf(r, name), patch);
    },
    async gatewayConditions(name, listener) {
      const { status } = await me.get(Gateways, name);
      return described(listener === undefined ? status?.conditions : status?.listeners?.find((l) => l.name === listener)?.conditions);
    },
    async routeConditions(name) {
      const { status } = await me.get(HTTPRoutes, name);
      return status?.parents.find((p) => p.controllerName === controllerName)?.conditions ?? [];
    },
    async address(gateway) {
      const address = await eventually(async () => {
        const { metadata, status } = await me.get(Gateways, gateway);
        const programmed = status?.conditions?.find((c) => c.type === 'Programmed');
        expect(programmed).toMatchObject({ status: 'True', observedGeneration: metadata.generation });
        const [first] = status?.addresses ?? [];
        if (!first) throw new Error(`Gateway ${gateway} has no address`);
        return first.value;
      });
      await me.rolledOut(gateway);
      return address;
    },
    rolledOut: (name, of = me.namespace) =>
      eventually(async () => {
        const { metadata, spec, status } = await me.get(Deployments, `${of}/${name}`);
        const now = status as Readonly<Record<string, number | undefined>> | undefined;
        const replicas = spec.replicas ?? 1;
        expect(now).toMatchObject({ observedGeneration: metadata.generation, ...(replicas > 0 && { updatedReplicas: replicas }) });
        expect([now?.['replicas'] ?? 0, now?.['availableReplicas'] ?? 0]).toEqual([replicas, replicas]);
      }, 90),
    async pods(labelSelector, of = me.namespace) {
      return (await api().list(Pods, { namespace: of, labelSelector })).items;
    },
    async traffic(o) {
      // First a single request at a time, so that what is counted begins with a working route.
      await eventually(async () => {
        await using probe = startTraffic({ ...o, workers: 1 });
        await probe.more(1);
        expect(probe.failures).toEqual([]);
      });
      return startTraffic(o);
    },
  };
  return me;
}

/** `kubectl`, from the machine or from the lab. */
export async function kubectl(...args: readonly string[]): Promise<string> {
  const { stdout } = await promisify(execFile)('kubectl', args, {
    env: { ...environment, KUBECONFIG: await kubeconfig() },
    maxBuffer: 256 * 1024 * 1024,
  });
  return stdout;
}

/** Lines of the log of all controllers that there are, from `since` on. */
export async function controllerLog(since: Date): Promise<readonly string[]> {
  const select = ['-n', installNamespace, '-l', controllerSelector, '--tail=-1', '--ignore-errors', `--since-time=${since.toISOString()}`];
  return (await kubectl('logs', ...select)).split('\n').filter((line) => line !== '');
}

/** What `kubectl auth can-i` says of an account (`namespace:name`): `yes` or `no`. */
export async function can(account: string, ...what: readonly string[]): Promise<string> {
  const asking = ['auth', 'can-i', `--as=system:serviceaccount:${account}`, ...what];
  // `no` ends with exit code 1.
  return (await kubectl(...asking).catch((error: { stdout?: string }) => error.stdout ?? '')).trim();
}

/**
 * Lines of a log that tell of a right that the controller has not. An API server that has just started forbids everything for a moment, as it has not read
 * roles and bindings yet: what it allows now was never missing.
 */
export async function missingRights(log: readonly string[]): Promise<readonly string[]> {
  const refusal = /User \W*system:serviceaccount:([^"\\]+)\W+cannot (\w+) resource \W*([\w/]+)\W+in API group \W*([\w.-]*)\\*"/;
  const answers = new Map<string, Promise<string>>();
  const isMissing = async (line: string): Promise<boolean> => {
    const refused = refusal.exec(line);
    if (!refused) return true;
    const [, account = '', verb = '', resource = '', group = ''] = refused;
    const [kind = '', part] = resource.split('/');
    // Some rights are for one object.
    const [, name] = /"([\w.-]+)\\*" is forbidden/.exec(line) ?? [];
    const [, namespace] = /in the namespace \W*([\w-]+)/.exec(line) ?? [];
    const asked = [
      verb,
      `${group ? `${kind}.${group}` : kind}${name === undefined ? '' : `/${name}`}`,
      ...(part === undefined ? [] : [`--subresource=${part}`]),
      ...(namespace === undefined ? ['--all-namespaces'] : ['-n', namespace]),
    ];
    const key = [account, ...asked].join(' ');
    const answer = answers.get(key) ?? can(account, ...asked);
    answers.set(key, answer);
    return (await answer) !== 'yes';
  };
  const missing = [];
  for (const line of log) if (/forbidden/i.test(line) && (await isMissing(line))) missing.push(line);
  return missing;
}

/** Names of the Pods of the controller that are not about to end. */
export async function controllerPods(client: KubeClient): Promise<readonly string[]> {
  const { items } = await client.list(Pods, { namespace: installNamespace, labelSelector: controllerSelector });
  return items.filter((p) => p.metadata.deletionTimestamp === undefined).map((p) => p.metadata.name);
}

/** A way to a port of a Pod that is open on loopback only. */
export interface PortForward extends AsyncDisposable {
  readonly port: number;
}

/** Opens one, to `what` as kubectl names it: `deploy/kgateway`. */
export async function portForward(namespace: string, what: string, port: number): Promise<PortForward> {
  const env = { ...environment, KUBECONFIG: await kubeconfig() };
  const child = spawn('kubectl', ['-n', namespace, 'port-forward', what, `:${port}`], { env, stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'exit');
  const opened = new Promise<number>((resolve) => {
    createInterface({ input: child.stdout }).on('line', (line) => {
      const found = /127\.0\.0\.1:(\d+)/.exec(line);
      if (found) resolve(Number(found[1]));
    });
  });
  const local = await Promise.race([opened, ended.then(() => undefined)]);
  if (local === undefined) throw new Error(`kubectl port-forward ${what} :${port} ended`);
  return {
    port: local,
    async [Symbol.asyncDispose]() {
      child.kill();
      await ended;
    },
  };
}

/** Resolves when nobody measures in the cluster of this machine: what follows disturbs all of it. */
export async function quietCluster(): Promise<void> {
  await eventually(async () => {
    const running = await promisify(execFile)('pgrep', ['gateway-conform']).catch(() => ({ stdout: '' }));
    expect(running.stdout, 'a conformance run is under way').toBe('');
  }, 600);
}
