#!/usr/bin/env node
/**
 * A test double of ztunnel for clusters whose Pods run on this machine (the lab). Needs root: it works in the network namespaces of Pods.
 *
 *   client Pod: nft redirects connections to Services that have a waypoint ─> agent ─┐  PROXY header: client, Service address, identity
 *   waypoint Pod: agent on podIP:15008 ─> 127.0.0.1:15088 <──────────────────────────┘
 *
 * What Envoy sees is what it sees behind the real one with the binding PROXY. Between the agents bytes go in the clear instead of HBONE.
 * Which waypoint serves a Service is read from the labels `istio.io/use-waypoint` and `istio.io/use-waypoint-namespace`. A client is every Pod
 * of a namespace labelled `istio.io/dataplane-mode: ambient` that is no waypoint.
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
import type { Capture, Duty } from './agent.ts';

const periodMs = 300;
const tunnelPort = 15_008;
const gatewayNameLabel = 'gateway.networking.k8s.io/gateway-name';
const useWaypoint = 'istio.io/use-waypoint';

interface Agent {
  readonly process: ChildProcess;
  duty: string;
}

export interface Ztunnel {
  /** Takes what the cluster is like now; resolves when the agents know. */
  sync(): Promise<void>;
  stop(): void;
}

/** Starts the double on the cluster of the kubeconfig. */
export async function startZtunnel(kubeconfig?: string): Promise<Ztunnel> {
  const client = await kubeClient({ credentials: await defaultCredentials(kubeconfig), userAgent: 'ztunnel-double' });
  const agents = new Map<string, Agent>();

  async function sync(): Promise<void> {
    const [pods, services, namespaces] = await Promise.all([client.list(Pods), client.list(Services), client.list(Namespaces)]);
    const duties = dutiesOf(pods.items, services.items, namespaces.items);
    for (const [uid, agent] of agents) {
      if (duties.has(uid) && agent.process.exitCode === null) continue;
      agent.process.kill();
      agents.delete(uid);
    }
    const missing = [...duties].filter(([uid]) => !agents.has(uid));
    const places = missing.length > 0 ? networkNamespaces() : new Map<string, number>();
    for (const [uid, { address }] of missing) {
      const pid = places.get(address);
      if (pid !== undefined) agents.set(uid, { process: startAgent(pid), duty: '' });
    }
    for (const [uid, { duty }] of duties) {
      const agent = agents.get(uid);
      const text = JSON.stringify(duty);
      if (!agent || agent.duty === text) continue;
      agent.duty = text;
      agent.process.send(duty);
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

/** What each Pod's agent has to do, by uid of the Pod. */
function dutiesOf(
  pods: readonly Pod[],
  services: readonly Service[],
  namespaces: readonly Namespace[],
): Map<string, { readonly address: string; readonly duty: Duty }> {
  const labelsOf = new Map(namespaces.map((n) => [n.metadata.name, n.metadata.labels ?? {}]));
  const running = pods.filter((p) => p.status?.phase === 'Running' && p.status.podIP && !p.metadata.deletionTimestamp);
  const waypoints = new Map<string, string[]>();
  for (const pod of running) {
    const { namespace, labels = {} } = pod.metadata;
    const gateway = labels[gatewayNameLabel];
    if (gateway === undefined || labels['istio.io/dataplane-mode'] !== 'ambient') continue;
    const ready = pod.status?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True');
    if (ready) waypoints.set(`${namespace}/${gateway}`, [...(waypoints.get(`${namespace}/${gateway}`) ?? []), pod.status?.podIP ?? '']);
  }
  const captures = services.flatMap((s) => capturesOf(s, labelsOf.get(s.metadata.namespace ?? '') ?? {}, waypoints));
  const duties = new Map<string, { readonly address: string; readonly duty: Duty }>();
  for (const pod of running) {
    const { namespace = '', labels = {}, uid = '' } = pod.metadata;
    const address = pod.status?.podIP ?? '';
    const isWaypoint = labels[gatewayNameLabel] !== undefined && labels['istio.io/dataplane-mode'] === 'ambient';
    if (isWaypoint) duties.set(uid, { address, duty: { role: 'waypoint', address, port: tunnelPort } });
    else if (labelsOf.get(namespace)?.['istio.io/dataplane-mode'] === 'ambient') {
      const principal = `spiffe://cluster.local/ns/${namespace}/sa/${pod.spec.serviceAccountName ?? 'default'}`;
      duties.set(uid, { address, duty: { role: 'client', address, principal, captures } });
    }
  }
  return duties;
}

function capturesOf(service: Service, ofNamespace: Record<string, string>, waypoints: ReadonlyMap<string, readonly string[]>): Capture[] {
  const { namespace = '', labels = {} } = service.metadata;
  const from = labels[useWaypoint] === undefined ? ofNamespace : labels;
  const name = from[useWaypoint];
  const address = service.spec.clusterIP;
  if (name === undefined || name === 'none' || !address || address === 'None' || address.includes(':')) return [];
  const via = waypoints.get(`${from[`${useWaypoint}-namespace`] ?? namespace}/${name}`);
  // As istiod does: without a waypoint that is ready, the Service is reached directly.
  if (!via) return [];
  return (service.spec.ports ?? [])
    .filter((p) => (p.protocol ?? 'TCP') === 'TCP')
    .map(({ port }) => ({ address, port, via: via.map((ip) => ({ address: ip, port: tunnelPort })) }));
}

/** A process in the network namespace of each Pod, by address of the Pod. */
function networkNamespaces(): Map<string, number> {
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
