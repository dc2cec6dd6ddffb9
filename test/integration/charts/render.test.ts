import { execFile } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { loadAll } from 'js-yaml';
import { describe, expect, test } from 'vitest';
import { settingsTable } from '../../../src/cmd/settings.ts';
import { watched, watchedForInference, watchedForWaypoints } from '../../../src/cmd/watches.ts';
import { leaseName } from '../../../src/cmd/leader.ts';
import { xdsSecretName } from '../../../src/cmd/xds-certificate.ts';
import { resourceName } from '../../../src/kube/resources.ts';
import { kubeconfig } from '../cluster.ts';

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
  const folders = [
    ...(process.env['PATH'] ?? '').split(delimiter),
    join(process.env['LAB_HOME'] ?? join(homedir(), '.cache', 'lab'), 'bin'),
  ];
  const found = folders
    .map((folder) => join(folder, 'helm'))
    .find((path) => {
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

const setting = (values: Readonly<Record<string, unknown>>): readonly string[] =>
  Object.entries(values).flatMap(([name, value]) => ['--set-json', `${name}=${JSON.stringify(value)}`]);

/** What the chart makes, with values as `--set-json` takes them. */
async function render(values: Readonly<Record<string, unknown>> = {}): Promise<readonly Rendered[]> {
  const where = ['-n', 'kgateway-system', '--kube-version', '1.36.0'];
  const text = await helm('template', 'kgateway', join(charts, 'kgateway'), ...where, ...setting(values));
  return (loadAll(text) as (Rendered | null)[]).filter((o) => o !== null);
}

const everything = {
  'controller.podDisruptionBudget': { minAvailable: 1 },
  'controller.horizontalPodAutoscaler': { maxReplicas: 3 },
  'controller.serviceMonitor.enabled': true,
  'waypoint.enabled': true,
  'inferenceExtension.enabled': true,
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

  test('sets no variable that the controller does not read', async () => {
    const spec = deploymentSpec(await render()) as { template: { spec: { containers: { env: { name: string }[] }[] } } };
    const known: readonly string[] = Object.values(settingsTable).map((s) => s.variable);
    expect(spec.template.spec.containers.flatMap((c) => c.env.map((e) => e.name)).filter((name) => !known.includes(name))).toEqual([]);
  });

  test.each([
    ['a value that it does not know', { 'controller.replicas': 2 }, /replicas/],
    ['class parameters without a namespace', { gatewayClassParametersRefs: { kgateway: { name: 'p' } } }, /missing property 'namespace'/],
    [
      'parameters of a class that is not ours',
      { gatewayClassParametersRefs: { other: { name: 'p', namespace: 'n' } } },
      /'other' not allowed/,
    ],
    ['stricter validation than there is', { 'validation.level': 'STRICT' }, /validation.level: what a proxy refuses/],
    [
      'a selection of namespaces',
      { discoveryNamespaceSelectors: [{ matchLabels: { a: 'b' } }] },
      /discoveryNamespaceSelectors: objects of all/,
    ],
    [
      'deprecated places of values',
      { resources: { limits: {} }, nodeSelector: { a: 'b' } },
      /move it to controller.resources\n.*controller.nodeSelector/,
    ],
    ['configuration in clear text', { 'controller.xds.tls.enabled': false }, /served over TLS only/],
  ])('refuses %s', async (_case, values, message) => {
    await expect(render(values)).rejects.toThrow(message);
  });

  test('takes the defaults of kgateway’s values', async () => {
    const values = {
      discoveryNamespaceSelectors: [],
      policyMerge: {},
      'validation.level': 'standard',
      'controller.xds.tls.enabled': true,
      'controller.goMemLimitPercent': 0,
      resources: {},
    };
    expect(await render(values)).toEqual(await render());
  });

  test('says which values have no effect', async () => {
    const values = { 'controller.goMemLimitPercent': 80, 'controller.service.enabled': false, 'controller.awsEc2RefreshInterval': '30s' };
    const install = ['install', '--dry-run=client', '--kubeconfig', await kubeconfig(), '-n', 'kgateway-notes', 'kgateway'];
    const said = await helm(...install, join(charts, 'kgateway'), ...setting(values));
    const [, warning = ''] = said.split('WARNING');
    expect(warning.match(/controller\.\S+(?=:)/g)).toEqual(['controller.goMemLimitPercent', 'controller.service.enabled']);
  });
});

describe('rights', () => {
  const rulesOf = async (kind: string): Promise<readonly Rule[]> => (await render(everything)).find((o) => o.kind === kind)?.rules ?? [];
  /** `group/resource` to verbs. */
  const rights = (rules: readonly Rule[]): Readonly<Record<string, readonly string[]>> => {
    const all = new Map<string, string[]>();
    for (const rule of rules) {
      const names = rule.apiGroups.flatMap((group) => rule.resources.map((resource) => (group === '' ? resource : `${resource}.${group}`)));
      for (const name of names) all.set(name, [...(all.get(name) ?? []), ...rule.verbs]);
    }
    return Object.fromEntries([...all].map(([name, verbs]) => [name, verbs.sort()]));
  };

  test('are those that the code uses', async () => {
    const read = ['list', 'watch'];
    const applied = ['create', 'get', 'patch'];
    const withStatus = [
      'backendtlspolicies.gateway.networking.k8s.io',
      'gateways.gateway.networking.k8s.io',
      'grpcroutes.gateway.networking.k8s.io',
      'httproutes.gateway.networking.k8s.io',
      'listenersets.gateway.networking.k8s.io',
      'xlistenersets.gateway.networking.x-k8s.io',
      'tcproutes.gateway.networking.k8s.io',
      'tlsroutes.gateway.networking.k8s.io',
      'udproutes.gateway.networking.k8s.io',
      'backends.gateway.kgateway.dev',
      'directresponses.gateway.kgateway.dev',
      'trafficpolicies.gateway.kgateway.dev',
      'authorizationpolicies.security.istio.io',
      'requestauthentications.security.istio.io',
      'inferencepools.inference.networking.k8s.io',
      'destinationrules.networking.istio.io',
      'telemetries.telemetry.istio.io',
      'ingresses.networking.k8s.io',
    ];
    expect(rights(await rulesOf('ClusterRole'))).toEqual({
      ...Object.fromEntries([...watched, ...watchedForWaypoints, ...watchedForInference].map((r) => [resourceName(r), read])),
      ...Object.fromEntries(
        withStatus.flatMap((name) => [
          [name, ['get', ...read]],
          [name.replace('.', '/status.'), ['patch']],
        ]),
      ),
      secrets: ['get', ...read],
      'customresourcedefinitions.apiextensions.k8s.io': read,
      'gatewayclasses.gateway.networking.k8s.io': ['create', 'get', 'list', 'patch', 'watch'],
      'gatewayclasses/status.gateway.networking.k8s.io': ['patch'],
      'gateways.gateway.networking.k8s.io': ['create', 'get', 'list', 'patch', 'watch'],
      'gateways/finalizers.gateway.networking.k8s.io': ['update'],
      services: ['create', 'get', 'list', 'patch', 'watch'],
      configmaps: ['create', 'get', 'list', 'patch', 'watch'],
      serviceaccounts: applied,
      'deployments.apps': applied,
      'horizontalpodautoscalers.autoscaling': ['create', 'delete', 'get', 'patch'],
      'poddisruptionbudgets.policy': ['create', 'delete', 'get', 'patch'],
      'tokenreviews.authentication.k8s.io': ['create'],
      'virtualservices.networking.istio.io': ['list'],
    });
  });

  test('without waypoints and inference leave Pods, the mesh and InferencePools alone', async () => {
    const rules = (await render()).find((o) => o.kind === 'ClusterRole')?.rules ?? [];
    const names = Object.keys(rights(rules));
    const others = [...[...watchedForWaypoints, ...watchedForInference].map(resourceName), 'virtualservices.networking.istio.io'];
    expect(others.filter((name) => names.includes(name))).toEqual([]);
  });

  test('with inference alone are for InferencePools and Pods', async () => {
    const rules = (await render({ 'inferenceExtension.enabled': true })).find((o) => o.kind === 'ClusterRole')?.rules ?? [];
    expect(rights(rules)).toMatchObject({
      pods: ['list', 'watch'],
      'inferencepools.inference.networking.k8s.io': ['get', 'list', 'watch'],
      'inferencepools/status.inference.networking.k8s.io': ['patch'],
    });
    expect(Object.keys(rights(rules))).not.toContain('serviceentries.networking.istio.io');
  });

  test('in its own namespace are for its Lease and its certificate, by name', async () => {
    const rules = await rulesOf('Role');
    expect(rules.map((r) => [r.resources[0], r.verbs.join(' '), r.resourceNames?.[0]])).toEqual([
      ['leases', 'create', undefined],
      ['leases', 'get update', leaseName],
      ['secrets', 'create', undefined],
      ['secrets', 'update', xdsSecretName],
    ]);
  });
});
