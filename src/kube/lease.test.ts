import { afterEach, expect, test } from 'vitest';
import type { LeaderElection, LeaderElectionOptions } from './lease.ts';
import { leaderElection } from './lease.ts';
import { Leases } from './resources.ts';
import type { TestApiServer } from './testing/api-server.ts';
import { testApiServer } from './testing/api-server.ts';
import { until } from './testing/until.ts';

const cleanup: (() => PromiseLike<void>)[] = [];
afterEach(async () => {
  for (const f of cleanup.splice(0).reverse()) await f();
});

async function apiServer(): Promise<TestApiServer> {
  const server = await testApiServer([Leases]);
  cleanup.push(() => server[Symbol.asyncDispose]());
  return server;
}

function candidate(s: TestApiServer, identity: string, log: string[], o: Partial<LeaderElectionOptions> = {}): LeaderElection {
  const election = leaderElection(s.client, {
    namespace: 'ns',
    name: 'lease',
    identity,
    leaseDuration: 150,
    renewDeadline: 100,
    retryPeriod: 20,
    onAcquired: () => void log.push(`${identity} leads`),
    onLost: () => void log.push(`${identity} lost`),
    ...o,
  });
  cleanup.push(() => election.stop());
  return election;
}

test('one leads; another takes over when it stops, at once, and after it has ended', async () => {
  const s = await apiServer();
  const log: string[] = [];
  const a = candidate(s, 'a', log);
  await until(() => a.leading, 'a leads');
  const b = candidate(s, 'b', log);
  await until(() => b.holder === 'a', 'b has seen it');
  expect(b.leading).toBe(false);
  await a.stop();
  await until(() => b.leading, 'b leads');
  expect(log).toEqual(['a leads', 'a lost', 'b leads']);
  expect(s.read(Leases, 'ns/lease')?.spec).toMatchObject({ holderIdentity: 'b', leaseTransitions: 1 });
});

test('a leader that cannot renew gives up before another may lead, and comes back', async () => {
  const s = await apiServer();
  const log: string[] = [];
  const errors: Error[] = [];
  const a = candidate(s, 'a', log, { onError: (e) => errors.push(e) });
  await until(() => a.leading, 'a leads');
  await s.down();
  await until(() => !a.leading, 'a gave up');
  expect(errors.length).toBeGreaterThan(0);
  await s.up();
  await until(() => a.leading, 'a leads again');
  expect(log).toEqual(['a leads', 'a lost', 'a leads']);
});

test('a Lease of a dead holder is taken only after it has not changed for its duration', async () => {
  const s = await apiServer();
  const lease = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata: { name: 'lease', namespace: 'ns' } };
  s.put(Leases, { ...lease, spec: { holderIdentity: 'dead', renewTime: '2000-01-01T00:00:00.000000Z', leaseTransitions: 3 } });
  const started = performance.now();
  const a = candidate(s, 'a', []);
  await until(() => a.leading, 'a leads');
  expect(performance.now() - started).toBeGreaterThan(145);
  expect(s.read(Leases, 'ns/lease')?.spec?.leaseTransitions).toBe(4);
});

test('a leader whose Lease was taken away stops leading', async () => {
  const s = await apiServer();
  const a = candidate(s, 'a', []);
  await until(() => a.leading, 'a leads');
  const stored = s.read(Leases, 'ns/lease');
  if (!stored) throw new Error('no lease');
  s.put(Leases, { ...stored, spec: { ...stored.spec, holderIdentity: 'thief' } });
  await until(() => !a.leading, 'a noticed');
});

test('a call that hangs does not keep a leader in office', async () => {
  const s = await apiServer();
  let hang = false;
  const replace: typeof s.client.replace = (r, object, o) => (hang ? new Promise(() => undefined) : s.client.replace(r, object, o));
  const a = candidate({ ...s, client: { ...s.client, replace } }, 'a', []);
  await until(() => a.leading, 'a leads');
  hang = true;
  await until(() => !a.leading, 'a gave up');
});
