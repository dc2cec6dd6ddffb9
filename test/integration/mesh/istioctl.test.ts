// istioctl against waypoints of both classes: what docs/troubleshooting.md says of each command.
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, test } from 'vitest';
import { Namespaces } from '../../../src/kube/resources.ts';
import { kubeconfig } from '../cluster.ts';
import { eventually, labHome, useCluster } from '../cluster/cluster.ts';
import { enableWaypoints } from './enable.ts';
import { ensureIstio } from './istio.ts';
import { echo } from './mesh.ts';

const cluster = useCluster();
const classes = { sandwich: 'kgateway-waypoint', native: 'kgateway-waypoint-hbone' } as const;

/** What it prints, on both streams; of a command that fails as well. */
async function istioctl(...args: readonly string[]): Promise<string> {
  const env = { ...process.env, KUBECONFIG: await kubeconfig() };
  const run = promisify(execFile)(join(labHome, 'bin', 'istioctl'), args, { env, timeout: 30_000, maxBuffer: 64 * 1024 * 1024 });
  const { stdout, stderr } = await run.catch((error: { readonly stdout: string; readonly stderr: string }) => error);
  return `${stdout}${stderr}`;
}

/** The fields of the lines of a table, without its header. */
async function table(...args: readonly string[]): Promise<readonly (readonly string[])[]> {
  const [, ...lines] = (await istioctl(...args)).trimEnd().split('\n');
  return lines.map((line) => line.trim().split(/\s{2,}/));
}

beforeAll(async () => {
  await ensureIstio(cluster.client);
  await enableWaypoints();
  await cluster.patch(Namespaces, cluster.namespace, { metadata: { labels: { 'istio.io/use-waypoint': 'sandwich' } } });
  for (const [name, gatewayClass] of Object.entries(classes)) {
    const written = await istioctl('waypoint', 'generate', '--name', name, '-n', cluster.namespace, '--for', 'service');
    await cluster.apply(written.replace('istio-waypoint', gatewayClass));
  }
  const policy = (name: string, port: string): string => `---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: ${name}}
spec:
  targetRefs: [{kind: Service, group: '', name: echo}]
  action: DENY
  rules: [{from: [{source: {namespaces: [bad]}}], to: [{operation: {ports: ['${port}']}}]}]
`;
  await cluster.apply(`${echo('echo')}${policy('of-tcp', '9090')}${policy('of-http', '80')}`);
  for (const name of ['echo', ...Object.keys(classes)]) await cluster.address(name).catch(() => cluster.rolledOut(name));
}, 240_000);
