import { execFile } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { loadAll } from 'js-yaml';
import { describe, expect, test } from 'vitest';
import { resources } from '../../../src/kube/resources.ts';

const charts = join(import.meta.dirname, '../../../charts');
const run = promisify(execFile);

interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
  readonly resourceNames?: readonly string[];
}
interface Rendered {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly rules?: readonly Rule[];
  readonly spec?: Readonly<Record<string, unknown>>;
}

function helmPath(): string {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), join(process.env['LAB_HOME'] ?? join(homedir(), '.cache', 'lab'), 'bin')];
  const found = folders.map((folder) => join(folder, 'helm')).find((path) => {
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
  if (found === undefined) throw new Error('no helm on PATH nor in the lab. Next: test/lab/lab build, or install Helm 3');
  return found;
}

async function helm(...args: readonly string[]): Promise<string> {
  return (await run(helmPath(), args)).stdout;
}

/** What the chart makes, with values as `--set-json` takes them. */
async function render(values: Readonly<Record<string, unknown>> = {}): Promise<readonly Rendered[]> {
  const set = Object.entries(values).flatMap(([name, value]) => ['--set-json', `${name}=${JSON.stringify(value)}`]);
  const text = await helm('template', 'kgateway', join(charts, 'kgateway'), '-n', 'kgateway-system', '--kube-version', '1.36.0', ...set);
  return (loadAll(text) as (Rendered | null)[]).filter((o) => o !== null);
}

const everything = {
  'waypoint.enabled': true,
  'controller.podDisruptionBudget': { minAvailable: 1 },
  'controller.horizontalPodAutoscaler': { maxReplicas: 3 },
  'controller.serviceMonitor.enabled': true,
  'controller.extraEnv': { KGW_LISTENER_BIND_IPV6: false },
};
const deploymentSpec = (objects: readonly Rendered[]) => objects.find((o) => o.kind === 'Deployment')?.spec;

test.each(['kgateway', 'kgateway-crds'])('helm lint finds nothing in %s', async (chart) => {
  const said = await helm('lint', '--strict', '--kube-version', '1.36.0', join(charts, chart));
  expect(said).not.toMatch(/WARNING|ERROR/);
});

describe('the chart', () => {
  test('makes the objects that kgateway’s guides name', async () => {
    const objects = await render();
    expect(objects.map((o) => `${o.kind} ${o.metadata.name}`).sort()).toEqual([
      'ClusterRole kgateway-kgateway-system',
      'ClusterRoleBinding kgateway-kgateway-system',
      'Deployment kgateway',
      'Role kgateway',
      'RoleBinding kgateway',
      'Service kgateway',
      'ServiceAccount kgateway',
    ]);
  });

  test('leaves the number of replicas to an autoscaler, or to nobody', async () => {
    expect(deploymentSpec(await render())).toHaveProperty('replicas', 1);
    expect(deploymentSpec(await render(everything))).not.toHaveProperty('replicas');
    expect(deploymentSpec(await render({ 'controller.replicaCount': null }))).not.toHaveProperty('replicas');
  });

  test('hands every value of extraEnv over as text', async () => {
    expect(JSON.stringify(deploymentSpec(await render(everything)))).toContain('{"name":"KGW_LISTENER_BIND_IPV6","value":"false"}');
  });

  test.each([
    ['a value that it does not know', { 'controller.replicas': 2 }, /replicas/],
    ['class parameters without a namespace', { gatewayClassParametersRefs: { kgateway: { name: 'p' } } }, /both name and namespace/],
    ['an unknown level of validation', { 'validation.level': 'none' }, /standard or strict/],
    ['configuration in clear text', { 'controller.xds.tls.enabled': false }, /Remove the value/],
  ])('refuses %s', async (_case, values, message) => {
    await expect(render(values)).rejects.toThrow(message);
  });
});

describe('rights', () => {
  const rules = async (kind: string, values = {}) => (await render(values)).find((o) => o.kind === kind)?.rules ?? [];
  const of = (all: readonly Rule[], resource: string) => all.filter((r) => r.resources.includes(resource)).flatMap((r) => r.verbs);

  test('have no wildcard, and write Secrets by name only', async () => {
    const cluster = await rules('ClusterRole', everything);
    const own = await rules('Role', everything);
    expect(JSON.stringify([cluster, own])).not.toContain('*');
    expect(of(cluster, 'secrets')).toEqual(['get', 'list', 'watch']);
    const writing = own.filter((r) => r.resources.includes('secrets') && r.verbs.includes('update'));
    expect(writing.map((r) => r.resourceNames)).toEqual([['kgateway-xds-cert']]);
  });

  test('delete nothing but what exists on request', async () => {
    const deleting = (await rules('ClusterRole', everything)).filter((r) => r.verbs.some((v) => v.startsWith('delete')));
    expect(deleting.flatMap((r) => r.resources)).toEqual(['horizontalpodautoscalers', 'poddisruptionbudgets']);
  });

  test('let every kind of the resource table be read, and Istio’s only for waypoints', async () => {
    const cluster = await rules('ClusterRole');
    const elsewhere = ['leases', 'tokenreviews'];
    const unreadable = resources.filter((r) => r.group !== '' || r.plural !== 'secrets').filter((r) => !elsewhere.includes(r.plural)).filter((r) => !of(cluster.filter((rule) => rule.apiGroups.includes(r.group)), r.plural).includes('get'));
    expect(unreadable.filter((r) => !r.group.endsWith('istio.io')).map((r) => `${r.plural}.${r.group}`)).toEqual([]);
    expect(JSON.stringify(cluster)).not.toContain('istio.io');
    expect(JSON.stringify(await rules('ClusterRole', everything))).toContain('istio.io');
  });
});
