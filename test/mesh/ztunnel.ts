#!/usr/bin/env node
/**
 * A test double of ztunnel for clusters whose Pods run on this machine (the lab). Needs root: it works in the network namespaces of Pods.
 *
 *   client Pod: nft redirects connections to Services that have a waypoint ─> agent ─┬─ HBONE ─> waypoint that ends it itself
 *                                                                                    └─ HBONE ─> waypoint Pod: agent on podIP:15008 ┐
 *   127.0.0.1:15088 of the waypoint <── PROXY header: client, Service address, identity ────────────────────────────────────────────┘
 *   any captured Pod: agent on podIP:15008 takes HBONE for the Pod
 *
 * What Envoy sees is what it sees from the real one; certificates are istiod's where there is an istiod. Which waypoint serves a Service is read from
 * the labels `istio.io/use-waypoint` and `istio.io/use-waypoint-namespace`. Captured is every Pod whose label `istio.io/dataplane-mode`, or that of its
 * namespace, is `ambient`; as istio-cni does, it is annotated.
 *
 *   KUBECONFIG=... node test/mesh/ztunnel.ts
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync, readdirSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { kubeClient } from '../../src/kube/client.ts';
import { defaultCredentials } from '../../src/kube/credentials.ts';
import { Namespaces, Pods, Services } from '../../src/kube/resources.ts';
import type { Namespace, Pod, Service } from '../../src/kube/types/core.ts';
import { keyOf } from '../../src/kube/types/meta.ts';
import type { Capture, Duty, Via } from './agent.ts';
import { identities, identityOf } from './identities.ts';

const periodMs = 300;
const tunnelPort = 15_008;
const dataplaneMode = 'istio.io/dataplane-mode';
const redirection = 'ambient.istio.io/redirection';
const classLabel = 'gateway.networking.k8s.io/gateway-class-name';
const gatewayNameLabel = 'gateway.networking.k8s.io/gateway-name';
const useWaypoint = 'istio.io/use-waypoint';
/** With its weight: labels and annotation of a Service; those of namespaces are not read. */
const canary = 'istio.io/use-waypoint-canary';

interface Agent {
  readonly process: ChildProcess;
  duty: string;
  /** True once it takes HBONE. */
  listening: boolean;
}

export interface Ztunnel {
  /** Takes what the cluster is like now; resolves when the agents know. */
  sync(): Promise<void>;
  stop(): void;
}

/** Starts the double on the cluster of the kubeconfig. */
export async function startZtunnel(kubeconfig?: string): Promise<Ztunnel> {
  const client = await kubeClient({ credentials: await defaultCredentials(kubeconfig), userAgent: 'ztunnel-double' });
  const certificates = await identities(client);
  const agents = new Map<string, Agent>();

  async function sync(): Promise<void> {
    const [pods, services, namespaces] = await Promise.all([client.list(Pods), client.list(Services), client.list(Namespaces)]);
    const { tasks, waypoints } = tasksOf(pods.items, namespaces.items, (uid) => agents.get(uid)?.listening === true);
    const labelsOf = new Map(namespaces.items.map((n) => [n.metadata.name, n.metadata.labels ?? {}]));
    const captures = services.items.flatMap((s) => capturesOf(s, labelsOf.get(s.metadata.namespace ?? '') ?? {}, waypoints));
    const uids = new Set(tasks.map((t) => t.pod.metadata.uid));
    for (const [uid, agent] of agents) {
      if (uids.has(uid) && agent.process.exitCode === null) continue;
      agent.process.kill();
      agents.delete(uid);
    }
    const missing = tasks.filter((t) => !agents.has(t.pod.metadata.uid ?? ''));
    const places = missing.length > 0 ? networkNamespaces() : new Map<string, number>();
    for (const { pod, address } of missing) {
      const pid = places.get(address);
      if (pid === undefined) continue;
      const agent: Agent = { process: startAgent(pid), duty: '', listening: false };
      agent.process.on('message', () => (agent.listening = true));
      agents.set(pod.metadata.uid ?? '', agent);
    }
    await Promise.all(tasks.map((task) => tell(task, captures)));
  }

  /** Tells an agent what to do, and the cluster that the Pod is captured. */
  async function tell({ pod, address, role }: Task, captures: readonly Capture[]): Promise<void> {
    const agent = agents.get(pod.metadata.uid ?? '');
    if (!agent) return;
    const { namespace = '', annotations } = pod.metadata;
    const tls = await certificates.of(namespace, pod.spec.serviceAccountName ?? 'default');
    const duty: Duty = role === 'waypoint' ? { role, address, tls } : { role, address, tls, captures };
    const text = JSON.stringify(duty);
    if (agent.duty !== text && agent.process.connected) {
      agent.duty = text;
      agent.process.send(duty);
    }
    if (annotations?.[redirection] !== 'enabled') {
      await client.patch(Pods, keyOf(pod), { metadata: { annotations: { [redirection]: 'enabled' } } }, { fieldManager: 'ztunnel-double' });
    }
  }

  return {
    sync,
    stop: () => {
      for (const { process: agent } of agents.values()) agent.kill();
      void client.close();
    },
  };
}

/** Runs an agent in the network namespace of a process. */
function startAgent(pid: number): ChildProcess {
  const args = [`--net=/proc/${pid}/ns/net`, process.execPath, join(import.meta.dirname, 'agent.ts')];
  return spawn('nsenter', args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
}

interface Task {
  readonly pod: Pod;
  readonly address: string;
  readonly role: Duty['role'];
}

/** Waypoints that ztunnel would send to, and all captured Pods. */
function tasksOf(
  pods: readonly Pod[],
  namespaces: readonly Namespace[],
  listening: (uid: string) => boolean,
): { readonly tasks: readonly Task[]; readonly waypoints: Waypoints } {
  const labelsOf = new Map(namespaces.map((n) => [n.metadata.name, n.metadata.labels ?? {}]));
  const waypoints = new Map<string, Via[]>();
  const tasks: Task[] = [];
  for (const pod of pods) {
    const address = pod.status?.podIP;
    const { namespace = '', labels = {}, uid = '', deletionTimestamp } = pod.metadata;
    if (pod.status?.phase !== 'Running' || !address) continue;
    const mode = labels[dataplaneMode] ?? labelsOf.get(namespace)?.[dataplaneMode];
    const isWaypoint = labels[classLabel]?.includes('waypoint') === true;
    const ready = pod.status.conditions?.some((c) => c.type === 'Ready' && c.status === 'True');
    // The real one listens before the Pod's containers start.
    const takesHbone = mode !== 'ambient' || listening(uid);
    if (isWaypoint && ready && takesHbone && !deletionTimestamp) {
      const key = `${namespace}/${labels[gatewayNameLabel]}`;
      const via = { address, port: tunnelPort, identities: [identityOf(namespace, pod.spec.serviceAccountName ?? 'default')] };
      waypoints.set(key, [...(waypoints.get(key) ?? []), via]);
    }
    // A Pod that ends keeps its ztunnel to the end.
    if (mode === 'ambient') tasks.push({ pod, address, role: isWaypoint ? 'waypoint' : 'workload' });
  }
  return { tasks, waypoints };
}

type Waypoints = ReadonlyMap<string, readonly Via[]>;

function capturesOf(service: Service, ofNamespace: Record<string, string>, waypoints: Waypoints): Capture[] {
  const { namespace = '', labels = {}, annotations = {} } = service.metadata;
  const from = labels[useWaypoint] === undefined ? ofNamespace : labels;
  const name = from[useWaypoint];
  const address = service.spec.clusterIP;
  if (name === undefined || name === 'none' || !address || address === 'None' || address.includes(':')) return [];
  const primary = waypoints.get(`${from[`${useWaypoint}-namespace`] ?? namespace}/${name}`);
  // As istiod does: without a waypoint that is ready, the Service is reached directly.
  if (!primary) return [];
  const second = waypoints.get(`${labels[`${canary}-namespace`] ?? namespace}/${labels[canary]}`);
  const via = second ? weighted(primary, second, Number(annotations[`${canary}-weight`] ?? 0)) : primary;
  return (service.spec.ports ?? []).filter((p) => (p.protocol ?? 'TCP') === 'TCP').map(({ port }) => ({ address, port, via }));
}

/** Connections take these in turn: `percent` of them go to the second waypoint, in steps of five. */
function weighted(first: readonly Via[], second: readonly Via[], percent: number): readonly Via[] {
  const share = Math.round(percent / 5);
  return Array.from({ length: 20 * first.length * second.length }, (_, i) => {
    const side = (i * share) % 20 < share ? second : first;
    return side[Math.floor(i / 20) % side.length];
  }).filter((v) => v !== undefined);
}

/** A process in the network namespace of each Pod, by address of the Pod. */
export function networkNamespaces(): Map<string, number> {
  const seen = new Set<string>();
  const found = new Map<string, number>();
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const inode = readlinkSync(`/proc/${pid}/ns/net`);
      if (seen.has(inode)) continue;
      seen.add(inode);
      const routes = readFileSync(`/proc/${pid}/net/fib_trie`, 'utf8');
      for (const [, address = ''] of routes.matchAll(/\|-- (\S+)\n\s+\/32 host LOCAL/g)) {
        if (!address.startsWith('127.')) found.set(address, Number(pid));
      }
    } catch {
      // It has ended meanwhile.
    }
  }
  return found;
}

if (import.meta.main) {
  const ztunnel = await startZtunnel(process.env['KUBECONFIG']);
  process.on('SIGTERM', () => {
    ztunnel.stop();
    process.exit(0);
  });
  for (;;) {
    await ztunnel.sync().catch((error: unknown) => console.error(error));
    await new Promise((resolve) => setTimeout(resolve, periodMs));
  }
}
