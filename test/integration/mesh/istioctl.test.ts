// istioctl against waypoints of both classes: what docs/troubleshooting.md says of each command.
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, test } from 'vitest';
import { adminPort } from '../../../src/deploy/bootstrap.ts';
import { Namespaces } from '../../../src/kube/resources.ts';
import { kubeconfig } from '../cluster.ts';
import { eventually, labHome, portForward, useCluster } from '../cluster/cluster.ts';
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
  await cluster.patch(Namespaces, cluster.namespace, {
    metadata: { labels: { 'istio.io/dataplane-mode': 'ambient', 'istio.io/use-waypoint': 'sandwich' } },
  });
  for (const [name, gatewayClass] of Object.entries(classes)) {
    const written = await istioctl('waypoint', 'generate', '--name', name, '-n', cluster.namespace, '--for', 'service');
    await cluster.apply(written.replace('istio-waypoint', gatewayClass));
  }
  const policy = (name: string, port: string): string => `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: ${name}}
spec:
  targetRefs: [{kind: Service, group: '', name: echo}]
  action: DENY
  rules: [{from: [{source: {namespaces: [bad]}}], to: [{operation: {ports: ['${port}']}}]}]
`;
  await cluster.apply(`${echo('echo')}${policy('of-tcp', '9090')}---${policy('of-http', '80')}`);
  for (const name of ['echo', ...Object.keys(classes)]) await cluster.rolledOut(name);
}, 240_000);

/** A Pod of a waypoint as istioctl names it. */
async function podOf(waypointName: string): Promise<string> {
  const [pod] = await cluster.pods(`gateway.networking.k8s.io/gateway-name=${waypointName}`);
  return `${pod?.metadata.name}.${cluster.namespace}`;
}

const host = (): string => `echo.${cluster.namespace}.svc.cluster.local`;

describe('proxy-config', () => {
  test('cluster, by Pod, Deployment and Gateway: Services with port and direction', async () => {
    const expected = [80, 9090, 7070].map((port) => [host(), String(port), '-', 'outbound', 'EDS']);
    for (const name of [await podOf('sandwich'), 'deploy/sandwich', 'gateway/sandwich']) {
      await eventually(async () =>
        expect(await table('proxy-config', 'cluster', name, '-n', cluster.namespace)).toEqual(expect.arrayContaining(expected)),
      );
    }
  });

  test('listener: where connections come in, and the chains of TCP Services', async () => {
    const all = await table('proxy-config', 'listener', await podOf('sandwich'));
    expect(all.map(([line]) => line)).toContainEqual(expect.stringMatching(/^127\.0\.0\.1,::1 15088 ALL$/));
    const text = await istioctl('proxy-config', 'listener', await podOf('sandwich'), '--waypoint');
    expect(text).toMatch(new RegExp(`waypoint .*:9090 +Cluster: outbound\\|9090\\|\\|${host()}`));
    expect(await istioctl('proxy-config', 'listener', await podOf('native'), '--waypoint')).toMatch(
      /envoy:\/\/connect_terminate +connect_terminate/,
    );
  });

  test('endpoint: the Pods of Services', async () => {
    const [backend] = await cluster.pods('app=echo');
    const found = await table('proxy-config', 'endpoint', await podOf('sandwich'));
    expect(found).toContainEqual([`${backend?.status?.podIP}:8080`, 'HEALTHY', 'OK', `outbound|80||${host()}`]);
  });

  test('secret: of a proxy that ends HBONE its certificate, and the CAs of the mesh; of another none of the mesh', async () => {
    const rows = await table('proxy-config', 'secret', await podOf('native'));
    expect(rows).toContainEqual(['default', 'Cert Chain', 'ACTIVE', 'true', expect.any(String), expect.any(String), expect.any(String)]);
    expect(rows).toContainEqual(['ROOTCA', 'CA', 'ACTIVE', 'true', expect.any(String), expect.any(String), expect.any(String)]);
    expect((await table('proxy-config', 'secret', await podOf('sandwich'))).map(([name]) => name)).not.toContain('default');
  });

  test('secret: two proxies trust the same CAs, which rootca-compare does not find out', async () => {
    const pods = await cluster.pods('gateway.networking.k8s.io/gateway-name=native');
    const names = pods.map((p) => `${p.metadata.name}.${cluster.namespace}`);
    const trusted = await Promise.all(
      names.map(async (name) => (await table('proxy-config', 'secret', name)).find(([row]) => row === 'ROOTCA')),
    );
    expect(trusted[0]).toEqual(trusted[1]);
    expect(await istioctl('proxy-config', 'rootca-compare', ...names)).toContain('Error: can not dump ROOTCA');
  });

  test('log: levels are read and set', async () => {
    expect(await istioctl('proxy-config', 'log', await podOf('sandwich'), '--level', 'rbac:debug')).toMatch(/rbac: debug/);
    expect(await istioctl('proxy-config', 'log', await podOf('sandwich'), '--level', 'rbac:info')).toMatch(/rbac: info/);
  });

  test('bootstrap and all', async () => {
    expect(await istioctl('proxy-config', 'bootstrap', await podOf('sandwich'))).toContain(`"cluster": "sandwich.${cluster.namespace}"`);
    expect(await istioctl('proxy-config', 'all', await podOf('sandwich'))).toContain(`cluster/outbound|80||${host()}`);
  });

  test('route does not show scoped routes: the page of the administration that does', async () => {
    expect(await istioctl('proxy-config', 'route', await podOf('sandwich'))).not.toContain(host());
    await using forward = await portForward(cluster.namespace, 'deploy/sandwich', adminPort);
    const page = await fetch(`http://127.0.0.1:${forward.port}/config_dump?resource=dynamic_scoped_route_configs`);
    expect(await page.text()).toContain(`outbound|80||${host()}`);
  });
});

describe('other commands', () => {
  test('experimental authz check: policies of TCP ports; those of HTTP are in scopes', async () => {
    await eventually(async () => {
      const rows = await table('experimental', 'authz', 'check', await podOf('sandwich'));
      expect(rows).toContainEqual(['DENY', `of-tcp.${cluster.namespace}`, '1']);
    });
    await using forward = await portForward(cluster.namespace, 'deploy/sandwich', adminPort);
    const page = await fetch(`http://127.0.0.1:${forward.port}/config_dump?resource=dynamic_scoped_route_configs`);
    expect(await page.text()).toContain(`ns[${cluster.namespace}]-policy[of-http]-rule[0]`);
  });

  test('experimental envoy-stats', async () => {
    expect(await istioctl('experimental', 'envoy-stats', await podOf('sandwich'))).toMatch(/cluster_manager\.active_clusters: [1-9]/);
  });

  test('waypoint list and status, and proxy-status, do not know them', async () => {
    expect(await table('waypoint', 'list', '-n', cluster.namespace)).toEqual([]);
    expect(await table('waypoint', 'status', '-n', cluster.namespace, '--wait=false')).toEqual([]);
    expect(await istioctl('proxy-status')).not.toContain(cluster.namespace);
  });

  test('experimental describe: not part of the mesh to it', async () => {
    expect(await istioctl('experimental', 'describe', 'pod', await podOf('sandwich'))).toContain('is not part of mesh');
  });

  test('analyze finds nothing wrong with what we write; of policies with targetRefs it looks for a selector', async () => {
    const found = (await istioctl('analyze', '-n', cluster.namespace)).split('\n').filter((line) => line.includes('[IST'));
    const unexpected = found.filter((line) => !/IST0127.*AuthorizationPolicy|IST0101.*AuthorizationPolicy/.test(line));
    expect(unexpected).toEqual([]);
  });
});
