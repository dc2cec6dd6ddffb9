import { execFile } from 'node:child_process';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { kubeconfig } from './cluster.ts';
import { installNamespace, kubectl } from './cluster/cluster.ts';

/** Installs the chart as it is, with a feature that is off by default, such as `waypoint.enabled`. */
export async function enable(value: string): Promise<void> {
  const labHome = process.env['LAB_HOME'] ?? join(homedir(), '.cache', 'lab');
  const env = { ...process.env, PATH: [process.env['PATH'], join(labHome, 'bin')].join(delimiter), KUBECONFIG: await kubeconfig() };
  const chart = join(import.meta.dirname, '../../charts/kgateway');
  await promisify(execFile)('helm', ['upgrade', '-n', installNamespace, 'kgateway', chart, '--reuse-values', '--set', `${value}=true`], {
    env,
  });
  await kubectl('-n', installNamespace, 'rollout', 'status', 'deployment/kgateway', '--timeout=90s');
}
