#!/usr/bin/env node
/**
 * A test double of ztunnel for clusters whose Pods run on this machine (the lab). Needs root: it works in the network namespaces of Pods.
 *
 *   client Pod: nft redirects connections to Services that have a waypoint ─> agent ─┬─ HBONE ─> waypoint that ends it itself
 *                                                                                    └─ HBONE ─> waypoint Pod: agent on podIP:15008 ┐
 *   loopback:15088 of the waypoint <── PROXY header: client, Service address, identity ─────────────────────────────────────────────┘
 *   any captured Pod: agent on podIP:15008 takes HBONE for the Pod
 *
 * What Envoy sees is what it sees from the real one. Where there is an istiod, it decides like for the real one: certificates are its, and what it
 * publishes to ztunnels says which Services have which waypoints, and where those take connections; else that comes from labels (routing.ts).
 * Captured is every Pod whose label `istio.io/dataplane-mode`, or that of its namespace, is `ambient`; as istio-cni does, it is annotated. Pods
 * get an IPv6 address once a Service with a waypoint has one: what goes to it comes from there, and arrives at the waypoint's.
 *
 *   KUBECONFIG=... node test/mesh/ztunnel.ts
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync, readdirSync, readlinkSync } from 'node:fs';
import { isIPv6 } from 'node:net';
import { join } from 'node:path';
import { kubeClient } from '../../src/kube/client.ts';
import { defaultCredentials } from '../../src/kube/credentials.ts';
import { Namespaces, Pods, Services } from '../../src/kube/resources.ts';
import type { Namespace, Pod } from '../../src/kube/types/core.ts';
import { keyOf } from '../../src/kube/types/meta.ts';
import type { Capture, Duty } from './agent.ts';
import { sixOf } from './dual-stack.ts';
import { identities } from './identities.ts';
import { findIstiod } from './istiod.ts';
import { type Routing, type TakesHbone, labelRouting, publishedRouting } from './routing.ts';
import { discoverWorkloads } from './workload-discovery.ts';

const periodMs = 300;
const dataplaneMode = 'istio.io/dataplane-mode';
const redirection = 'ambient.istio.io/redirection';

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
  const istiod = await findIstiod(client);
  const certificates = await identities(istiod);
  const published = istiod && (await discoverWorkloads(istiod));
  const agents = new Map<string, Agent>();

  async function sync(): Promise<void> {
    const [pods, namespaces] = await Promise.all([client.list(Pods), client.list(Namespaces)]);
    const captured = capturedPods(pods.items, namespaces.items);
    const uidAt = new Map(captured.map((c) => [c.address, c.pod.metadata.uid ?? '']));
    const takesHbone: TakesHbone = (address) => {
      const uid = uidAt.get(address);
      return uid === undefined || agents.get(uid)?.listening === true;
    };
    const routing = published
      ? publishedRouting(published, takesHbone)
      : labelRouting(pods.items, namespaces.items, (await client.list(Services)).items, takesHbone);
    const uids = new Set(captured.map((c) => c.pod.metadata.uid));
    for (const [uid, agent] of agents) {
      if (uids.has(uid) && agent.process.exitCode === null) continue;
      agent.process.kill();
      agents.delete(uid);
    }
    const missing = captured.filter((c) => !agents.has(c.pod.metadata.uid ?? ''));
    const places = missing.length > 0 ? networkNamespaces() : new Map<string, number>();
    for (const { pod, address } of missing) {
      const pid = places.get(address);
      if (pid === undefined) continue;
      const agent: Agent = { process: startAgent(pid), duty: '', listening: false };
      agent.process.on('message', () => (agent.listening = true));
      agents.set(pod.metadata.uid ?? '', agent);
    }
    const dual = dualStack(routing.captures, uidAt);
    await Promise.all(captured.map((c) => tell(c, routing, dual)));
  }

  /** Tells an agent what to do, and the cluster that the Pod is captured. */
  async function tell({ pod, address }: CapturedPod, { proxyPortOf }: Routing, { captures, isDual }: DualStack): Promise<void> {
    const agent = agents.get(pod.metadata.uid ?? '');
    if (!agent) return;
    const { namespace = '', annotations } = pod.metadata;
    const tls = await certificates.of(namespace, pod.spec.serviceAccountName ?? 'default');
    const own = { address, ...(isDual && { six: sixOf(address) }), tls };
    const proxyPort = proxyPortOf(address);
    // What it passes on to its own Pod is not captured again.
    const others = captures.filter((c) => c.address !== address);
    const duty: Duty = proxyPort === undefined ? { role: 'workload', ...own, captures: others } : { role: 'waypoint', ...own, proxyPort };
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
      published?.stop();
      void client.close();
    },
  };
}

/** Runs an agent in the network namespace of a process. */
function startAgent(pid: number): ChildProcess {
  const args = [`--net=/proc/${pid}/ns/net`, process.execPath, join(import.meta.dirname, 'agent.ts')];
  return spawn('nsenter', args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
}

interface CapturedPod {
  readonly pod: Pod;
  readonly address: string;
}

/** A Pod that ends keeps its ztunnel to the end. */
function capturedPods(pods: readonly Pod[], namespaces: readonly Namespace[]): readonly CapturedPod[] {
  const labelsOf = new Map(namespaces.map((n) => [n.metadata.name, n.metadata.labels ?? {}]));
  return pods.flatMap((pod) => {
    const address = pod.status?.podIP;
    const { namespace = '', labels = {} } = pod.metadata;
    const mode = labels[dataplaneMode] ?? labelsOf.get(namespace)?.[dataplaneMode];
    return pod.status?.phase === 'Running' && address && mode === 'ambient' ? [{ pod, address }] : [];
  });
}

interface DualStack {
  readonly captures: readonly Capture[];
  /** Captured Pods have an IPv6 address as well. */
  readonly isDual: boolean;
}

/** What goes to an IPv6 address takes IPv6 all the way to the ztunnel of a waypoint. */
function dualStack(captures: readonly Capture[], uidAt: ReadonlyMap<string, string>): DualStack {
  const isDual = captures.some((c) => isIPv6(c.address));
  if (!isDual) return { captures, isDual };
  const sixth = (c: Capture): Capture => ({
    ...c,
    via: c.via.map((v) => (uidAt.has(v.address) ? { ...v, address: sixOf(v.address) } : v)),
  });
  return { captures: captures.map((c) => (isIPv6(c.address) ? sixth(c) : c)), isDual };
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
