// What tests of the mesh have in common: Services that answer, the double of ztunnel, and requests out of a Pod.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import type { Summary } from '../../mesh/closed-loop.ts';
import { type Ztunnel, networkNamespaces, startZtunnel } from '../../mesh/ztunnel.ts';
import { kubeconfig } from '../cluster.ts';
import { type Cluster, kubectl } from '../cluster/cluster.ts';

/** A Service with ports http (80), tcp (9090) and grpc (7070), and its Deployment. */
export const echo = (name: string): string => `
apiVersion: v1
kind: Service
metadata: {name: ${name}}
spec: {selector: {app: ${name}}, ports: [{name: http, port: 80, targetPort: 8080}, {name: tcp, port: 9090}, {name: grpc, port: 7070}]}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: ${name}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: ${name}}
spec:
  selector: {matchLabels: {app: ${name}}}
  template:
    metadata: {labels: {app: ${name}}}
    spec:
      serviceAccountName: ${name}
      containers:
        - name: echo
          image: registry.k8s.io/gateway-api/echo-advanced:v1.5.1
          args: [--tcp=9090, --port=8080, --grpc=7070]
          readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}
---
`;

/** Listeners of waypoints: of those whose ztunnel ends HBONE, and that of `istioctl waypoint generate`. */
export const hboneListener = 'name: mesh, port: 15008, protocol: HBONE';
const proxyListener = 'name: proxy, port: 15088, protocol: istio.io/PROXY';

/** A waypoint of a class. */
export const waypoint = (name: string, gatewayClass = 'kgateway-waypoint', listener = proxyListener): string => `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: ${name}, labels: {istio.io/waypoint-for: service}}
spec: {gatewayClassName: ${gatewayClass}, listeners: [{${listener}}]}
`;

/** What the echo client of a Deployment prints about its requests. */
export function requestFrom({ namespace }: Cluster, deployment: string, ...args: readonly string[]): Promise<string> {
  return kubectl('-n', namespace, 'exec', `deploy/${deployment}`, '-c', 'echo', '--', 'client', ...args);
}

/** Runs the double until the end of the file. */
export async function useZtunnel(): Promise<void> {
  const ztunnel: Ztunnel = await startZtunnel(await kubeconfig());
  const timer = setInterval(() => void ztunnel.sync().catch(() => {}), 300);
  afterAll(() => {
    clearInterval(timer);
    ztunnel.stop();
  });
}

export interface ClosedLoop extends AsyncDisposable {
  /** What happened since the last time; resolves when there were so many requests. */
  next(requests: number): Promise<readonly string[]>;
}

/** Requests out of the Pod with this address, `[url, expected status]` in turn. */
export function closedLoop(podAddress: string, pairs: readonly (readonly [string, number])[]): ClosedLoop {
  const pid = networkNamespaces().get(podAddress);
  if (pid === undefined) throw new Error(`no process of a Pod with address ${podAddress}: does the cluster run on this machine?`);
  const args = [
    `--net=/proc/${pid}/ns/net`,
    process.execPath,
    join(import.meta.dirname, '../../mesh/closed-loop.ts'),
    ...pairs.flat().map(String),
  ];
  const child: ChildProcess = spawn('nsenter', args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const ask = async (): Promise<Summary> => {
    const answer = once(child, 'message') as Promise<[Summary]>;
    child.send('next');
    const [summary] = await answer;
    return summary;
  };
  return {
    next: async (wanted) => {
      const problems: string[] = [];
      for (let seen = 0; seen < wanted;) {
        const summary = await ask();
        seen += summary.requests;
        problems.push(...summary.problems);
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      return problems;
    },
    [Symbol.asyncDispose]: async () => {
      const ended = once(child, 'exit');
      child.disconnect();
      await ended;
    },
  };
}
