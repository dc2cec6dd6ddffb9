// `kgateway preflight` where users run it: in the Pod of the controller, with what it may read.
import { beforeAll, expect, test } from 'vitest';
import { VirtualServices } from '../../../src/cmd/preflight.ts';
import { installNamespace, kubectl, useCluster } from '../cluster/cluster.ts';
import { enableWaypoints } from './enable.ts';
import { ensureIstio } from './istio.ts';

const cluster = useCluster();

beforeAll(async () => {
  await ensureIstio(cluster.client);
  await enableWaypoints();
}, 200_000);

/** What it prints, and the code with which it ends. */
async function preflight(): Promise<{ readonly text: string; readonly code: number }> {
  const args = ['-n', installNamespace, 'exec', 'deploy/kgateway', '--', 'node', '/app/kgateway.mjs', 'preflight', '-n', cluster.namespace];
  return kubectl(...args).then(
    (text) => ({ text, code: 0 }),
    (error: { readonly stdout?: string; readonly stderr?: string; readonly code?: number }) => ({
      text: `${error.stdout}${error.stderr}`,
      code: error.code ?? -1,
    }),
  );
}

test('nothing changes for a namespace without policies', async () => {
  expect(await preflight()).toEqual({
    text: expect.stringContaining(`Nothing changes for the policies of namespace ${cluster.namespace} with a waypoint.`) as string,
    code: 0,
  });
});

test('policies for workloads and VirtualServices are named, with what to do, and the code says that there is something', async () => {
  await cluster.apply(`
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: frontend-only}
spec:
  selector: {matchLabels: {app: echo}}
  rules: [{from: [{source: {principals: ['cluster.local/ns/web/sa/frontend']}}]}]
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: tokens}
spec:
  selector: {matchLabels: {app: echo}}
  jwtRules: [{issuer: example.com, jwksUri: 'https://example.com/keys'}]
`);
  await cluster.client.apply(
    VirtualServices,
    {
      apiVersion: 'networking.istio.io/v1',
      kind: 'VirtualService',
      metadata: { namespace: cluster.namespace, name: 'old-routes' },
      spec: { hosts: ['echo'], http: [{ route: [{ destination: { host: 'echo' } }] }] },
    } as never,
    { fieldManager: 'test' },
  );
  const { text, code } = await preflight();
  expect(code).toBe(2);
  const { namespace } = cluster;
  expect(text).toContain(`TRAFFIC   AuthorizationPolicy ${namespace}/frontend-only\n  rules[0] name clients`);
  expect(text).toContain('next: allow the ServiceAccount of the waypoint here');
  expect(text).toContain(`SECURITY  RequestAuthentication ${namespace}/tokens\n  tokens are not verified by ztunnel`);
  expect(text).toContain(`TRAFFIC   VirtualService ${namespace}/old-routes`);
  expect(text).not.toContain('NOT READ');
});
