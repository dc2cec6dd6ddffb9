// The data plane needs neither controller nor API server; what changes meanwhile arrives when they are back.
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { adminPort } from '../../../src/deploy/bootstrap.ts';
import { Deployments, HTTPRoutes } from '../../../src/kube/resources.ts';
import { kubeconfig } from '../cluster.ts';
import {
  controllerPods,
  described,
  eventually,
  installNamespace,
  kubectl,
  labHome,
  portForward,
  quietCluster,
  useCluster,
} from './cluster.ts';
import { echoServer, gateway, route } from './objects.ts';
import { echo, send } from './traffic.ts';
import type { Target, Traffic } from './traffic.ts';

const cluster = useCluster();
const controller = `${installNamespace}/kgateway`;
let target: Target;

const to = (name: string) => ({ spec: { rules: [{ backendRefs: [{ name, port: 80 }] }] } });
const servedBy = async (name: string): Promise<void> => {
  await eventually(async () => expect((await echo(target)).pod).toMatch(new RegExp(`^${name}-`)));
};
/** Until the status of a route that was changed now is that of its newest version: the leader works. */
const statusFollows = async (name: string, seconds: number): Promise<void> => {
  const { metadata } = await cluster.get(HTTPRoutes, name);
  await eventually(async () => {
    const conditions = await cluster.routeConditions(name);
    expect(conditions.map((c) => c.observedGeneration)).toEqual(conditions.map(() => metadata.generation));
    expect(described(conditions)).toContain('Accepted=True Accepted');
  }, seconds);
};

/** The change to green has arrived, its status too, the next change does as well, and no request was lost. */
const allIsWell = async (traffic: Traffic): Promise<void> => {
  await servedBy('green');
  // After a kill the Lease has to run out first.
  await statusFollows('web', 40);
  await cluster.patch(HTTPRoutes, 'web', to('blue'));
  await servedBy('blue');
  await traffic.more(200);
  expect(traffic.failures).toEqual([]);
};

/** A Pod that ends, or was killed by force, may serve for a while after the API server has forgotten it: the proxy knows. */
const proxyIsAlone = async (): Promise<void> => {
  await using forward = await portForward(cluster.namespace, 'deploy/web', adminPort);
  const answer = await fetch(`http://127.0.0.1:${forward.port}/stats?filter=control_plane.connected_state`);
  expect(await answer.text()).toContain('control_plane.connected_state: 0');
};

beforeAll(async () => {
  await cluster.apply(echoServer('blue') + '---' + echoServer('green'));
  await cluster.apply(gateway('web'));
  await cluster.apply(route('web', { gateway: 'web', host: 'web.example.com', to: 'blue' }));
  target = { address: await cluster.address('web'), host: 'web.example.com' };
  await servedBy('blue');
});
beforeEach(() => quietCluster(), 600_000);

describe('without a request lost', () => {
  const replicas = async (): Promise<number> => (await cluster.get(Deployments, controller)).spec.replicas ?? 1;
  let wanted: number;
  beforeAll(async () => {
    wanted = await replicas();
  });
  afterAll(async () => {
    await cluster.patch(Deployments, controller, { spec: { replicas: wanted } });
    await cluster.rolledOut('kgateway', installNamespace);
  });

  test.each([
    ['ends', []],
    ['is killed', ['--grace-period=0', '--force']],
  ])(
    'the controller %s',
    async (_how, flags) => {
      const before = await controllerPods(cluster.client);
      await using traffic = await cluster.traffic(target);
      await kubectl('-n', installNamespace, 'delete', 'pod', '--wait=false', ...flags, ...before);
      await eventually(async () => {
        const now = await controllerPods(cluster.client);
        expect(now.length === wanted && now.every((name) => !before.includes(name))).toBe(true);
      });
      await cluster.rolledOut('kgateway', installNamespace);
      await cluster.patch(HTTPRoutes, 'web', to('green'));
      await allIsWell(traffic);
    },
    180_000,
  );

  test('there is no controller for a while', async () => {
    await cluster.apply(route('leaving', { gateway: 'web', host: 'leaving.example.com', to: 'blue' }));
    await eventually(() => echo({ ...target, host: 'leaving.example.com' }));
    await using traffic = await cluster.traffic(target);
    await cluster.patch(Deployments, controller, { spec: { replicas: 0 } });
    await cluster.rolledOut('kgateway', installNamespace);
    await eventually(proxyIsAlone);

    await cluster.patch(HTTPRoutes, 'web', to('green'));
    await cluster.apply(route('coming', { gateway: 'web', host: 'coming.example.com', to: 'blue' }));
    await cluster.remove(HTTPRoutes, 'leaving');
    await traffic.more(500);
    expect((await echo(target)).pod).toMatch(/^blue-/);

    await cluster.patch(Deployments, controller, { spec: { replicas: wanted } });
    await cluster.rolledOut('kgateway', installNamespace);
    await servedBy('green');
    await eventually(() => echo({ ...target, host: 'coming.example.com' }));
    await eventually(async () => expect((await send({ ...target, host: 'leaving.example.com' })).status).toBe(404));
    await statusFollows('coming', 40);
    await cluster.patch(HTTPRoutes, 'web', to('blue'));
    await servedBy('blue');
    await traffic.more(200);
    expect(traffic.failures).toEqual([]);
  }, 180_000);
});

describe('the API server', async () => {
  const lab = (verb: string) => promisify(execFile)(join(import.meta.dirname, '../../lab/lab'), [verb, 'kube-apiserver']);
  const own = await kubeconfig();
  const isLab = own === join(labHome, 'run', 'kubeconfig');

  // Nobody may stop the API server of a cluster that is not ours.
  test.skipIf(!isLab)(
    'crashes and comes back without a request lost (in the lab only)',
    async () => {
      await using traffic = await cluster.traffic(target);
      await lab('stop');
      try {
        await traffic.more(1000);
      } finally {
        await lab('start');
      }
      await eventually(async () => {
        await cluster.patch(HTTPRoutes, 'web', to('green'));
      });
      await allIsWell(traffic);
    },
    180_000,
  );
});
