import { execFile } from 'node:child_process';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { kubeconfig } from '../cluster.ts';
import { installNamespace, kubectl } from '../cluster/cluster.ts';

/** Installs the chart as it is, with waypoints. */
export async function enableWaypoints(): Promise<void> {
  const labHome = process.env['LAB_HOME'] ?? join(homedir(), '.cache', 'lab');
  const env = { ...process.env, PATH: [process.env['PATH'], join(labHome, 'bin')].join(delimiter), KUBECONFIG: await kubeconfig() };
  const chart = join(import.meta.dirname, '../../../charts/kgateway');
  const set = ['--reuse-values', '--set', 'waypoint.enabled=true'];
  await promisify(execFile)('helm', ['upgrade', '-n', installNamespace, 'kgateway', chart, ...set], { env });
  await kubectl('-n', installNamespace, 'rollout', 'status', 'deployment/kgateway', '--timeout=90s');
}
