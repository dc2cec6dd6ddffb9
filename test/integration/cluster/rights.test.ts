// Who may have what: the controller at the API server, proxies at the controller.
import { Client, Metadata, credentials, status } from '@grpc/grpc-js';
import type { ServiceError } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { xdsSecretName } from '../../../src/cmd/xds-certificate.ts';
import { Secrets } from '../../../src/kube/resources.ts';
import { encode } from '../../../src/xds/proto/index.ts';
import { TypeUrl } from '../../../src/xds/resource.ts';
import { adsService } from '../../../src/xds/server.ts';
import { can, controllerLog, installNamespace, kubectl, missingRights, portForward, useCluster } from './cluster.ts';
import type { PortForward } from './cluster.ts';
import { gateway } from './objects.ts';

const cluster = useCluster();

const tokenOf = async (serviceAccount: string, audience = 'kgateway'): Promise<string> =>
  (await kubectl('-n', cluster.namespace, 'create', 'token', serviceAccount, `--audience=${audience}`)).trim();

describe('a proxy gets its configuration from the controller', () => {
  let forward: PortForward;
  let ca: Buffer;
  beforeAll(async () => {
    await cluster.apply(gateway('one') + '---' + gateway('two'));
    await cluster.address('one');
    await cluster.address('two');
    forward = await portForward(installNamespace, 'deploy/kgateway', 9977);
    const secret = await cluster.get(Secrets, `${installNamespace}/${xdsSecretName}`);
    ca = Buffer.from(secret.data?.['ca.crt'] ?? '', 'base64');
  });
  afterAll(() => forward[Symbol.asyncDispose]());

  /** Asks for the listeners of a Gateway; resolves to the length of the answer, or to the name of the error. */
  const ask = async (gatewayName: string, token: string | undefined, secure = true): Promise<string> => {
    const name = `kgateway.${installNamespace}.svc`;
    const channel = secure ? credentials.createSsl(ca) : credentials.createInsecure();
    const names = { 'grpc.ssl_target_name_override': name, 'grpc.default_authority': name };
    const client = new Client(`127.0.0.1:${forward.port}`, channel, names);
    const metadata = new Metadata();
    if (token !== undefined) metadata.set('authorization', `Bearer ${token}`);
    const { path, requestSerialize, responseDeserialize } = adsService.DeltaAggregatedResources;
    const call = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, metadata);
    const role = { string_value: `kgateway-kube-gateway-api~${cluster.namespace}~${gatewayName}` };
    const node = { id: 'rights-test', metadata: { fields: { role } } };
    const request = { node, type_url: TypeUrl.listener };
    try {
      return await new Promise((resolve) => {
        call.on('data', (bytes: Buffer) => resolve(bytes.includes('listener~80') ? 'listeners' : 'something else'));
        call.on('error', (error: ServiceError) => resolve(status[error.code]));
        call.write(Buffer.from(encode('envoy.service.discovery.v3.DeltaDiscoveryRequest', request)));
      });
    } finally {
      call.on('error', () => {});
      call.cancel();
      client.close();
    }
  };

  test('with the token of its own ServiceAccount', async () => {
    expect(await ask('one', await tokenOf('one'))).toBe('listeners');
  });

  test.each([
    ['without a token', 'one', async () => undefined, 'UNAUTHENTICATED'],
    ['with something that is no token', 'one', async () => 'nonsense', 'UNAUTHENTICATED'],
    ['with a token for the API server', 'one', () => tokenOf('one', 'https://kubernetes.default.svc.cluster.local'), 'UNAUTHENTICATED'],
    ['with the token of another Gateway', 'one', () => tokenOf('two'), 'PERMISSION_DENIED'],
    ['with the token of another ServiceAccount of the namespace', 'one', () => tokenOf('default'), 'PERMISSION_DENIED'],
    ['of a Gateway that there is not', 'three', () => tokenOf('one'), 'PERMISSION_DENIED'],
  ])('not %s', async (_case, of, token, expected) => {
    expect(await ask(of, await token())).toBe(expected);
  });

  test('not in clear text', async () => {
    expect(await ask('one', await tokenOf('one'), false)).toBe('UNAVAILABLE');
  });
});

describe('at the API server', () => {
  test.each([
    ['get', 'pods'],
    ['create', 'pods'],
    ['create', 'pods', '--subresource=exec'],
    ['update', 'secrets'],
    ['create', 'secrets'],
    ['delete', 'secrets'],
    ['delete', 'deployments.apps'],
    ['delete', 'services'],
    ['update', 'gateways.gateway.networking.k8s.io'],
    ['delete', 'httproutes.gateway.networking.k8s.io'],
    ['create', 'serviceaccounts', '--subresource=token'],
    ['create', 'clusterrolebindings.rbac.authorization.k8s.io'],
    ['impersonate', 'users'],
    ['*', '*'],
  ])('the controller may not %s %s', async (...what) => {
    expect(await can(`${installNamespace}:kgateway`, '-n', cluster.namespace, ...what)).toBe('no');
  });

  test('a proxy may nothing', async () => {
    for (const what of ['secrets', 'configmaps', 'pods', 'services'])
      expect(await can(`${cluster.namespace}:one`, '-n', cluster.namespace, 'get', what)).toBe('no');
  });

  test('nothing was forbidden to the controller, and no key is in its log', async () => {
    const log = await controllerLog(new Date(0));
    expect(await missingRights(log)).toEqual([]);
    expect(log.filter((line) => /PRIVATE KEY/i.test(line))).toEqual([]);
  });
});
