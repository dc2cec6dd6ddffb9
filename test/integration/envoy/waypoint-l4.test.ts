/** TCPRoutes and TLSRoutes of Services behind a waypoint, through a real Envoy. */
import type { Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createCertificate } from '../../../src/cmd/xds-certificate.ts';
import { api, objectOf } from '../backend.ts';
import { type L4Backend, startTcpBackend } from '../l4.ts';
import { type LocalGateway, eventually, startLocalGateway } from '../local.ts';
import { machineAddress } from '../machine.ts';
import { waypointClient, waypointGateway, waypointService } from '../waypoint.ts';

let gateway: LocalGateway;
let plain: L4Backend;
let other: L4Backend;
let secure: L4Backend;
let secureOther: L4Backend;
let outside: L4Backend;
let outsideSecure: L4Backend;
/** A proxy leads nobody to loopback for a ServiceEntry. */
const machine = machineAddress();
const vip = '10.96.1.1';
const client = waypointClient(() => gateway.port(15_088), vip);

const route = (kind: string, ...rest: [name: string, spec: string, metadata?: string]): string => objectOf(api.gateway, kind, ...rest);
const ofDb = (port: number): string => `parentRefs: [{ group: '', kind: Service, name: db, namespace: default, port: ${port} }]`;

/** Name of the backend that a connection reaches, or `closed`. */
async function reached(
  port: number,
  { servername, ...asked }: { servername?: string; principal?: string; address?: string } = {},
): Promise<string> {
  const socket: Socket = await client.dial({ port, ...asked });
  const stream = servername === undefined ? socket : connectTls({ socket, servername, rejectUnauthorized: false });
  return new Promise((resolve) => {
    stream.on('error', () => {});
    stream.once('data', (data: Buffer) => resolve(data.toString().split('\n')[0] ?? ''));
    stream.once('close', () => resolve('closed'));
    // RBAC decides on the first bytes.
    if (servername === undefined) stream.write('hello\n');
  });
}

beforeAll(async () => {
  const certificate = await createCertificate(['secure.example.com'], Date.now());
  plain = await startTcpBackend('plain');
  other = await startTcpBackend('other');
  secure = await startTcpBackend('secure', certificate);
  secureOther = await startTcpBackend('secure-other', certificate);
  outside = await startTcpBackend('outside', undefined, machine);
  outsideSecure = await startTcpBackend('outside-secure', certificate, machine);
  gateway = await startLocalGateway(
    {
      'gateway.yaml': waypointGateway,
      'services.yaml':
        waypointService(
          'db',
          [vip],
          '{ name: tcp, port: 5432 }, { name: tls, port: 443 }, { name: any, port: 7000 }, { name: tls-more, port: 8443 }',
          `{ name: tcp, port: ${plain.port} }, { name: tls, port: ${secure.port} }, { name: any, port: ${plain.port} }, { name: tls-more, port: ${secure.port} }`,
        ) +
        waypointService(
          'other',
          ['10.96.1.2'],
          '{ name: tcp, port: 5432 }, { name: tls, port: 443 }',
          `{ name: tcp, port: ${other.port} }, { name: tls, port: ${secureOther.port} }`,
        ),
    },
    [15_088],
  );
  await eventually('the waypoint serves', async () => (await reached(5432).catch(() => '')) === 'plain');
});

afterAll(async () => {
  expect(gateway.rejections()).toEqual([]);
  client.close();
  await gateway.stop();
  for (const backend of [plain, other, secure, secureOther, outside, outsideSecure]) backend.close();
});

test('a server that speaks first is heard on a port that says nothing of its protocol', async () => {
  const asked = performance.now();
  const socket = await client.dial({ port: 7000 });
  expect(await new Promise((resolve) => socket.once('data', (data: Buffer) => resolve(data.toString())))).toBe('plain\n');
  // Whoever waits for first bytes of the client gives up after 15 s.
  expect(performance.now() - asked).toBeLessThan(10_000);
});

describe('a TCPRoute of a Service', () => {
  test('holds on its port, the oldest one, and leaves with it', async () => {
    await gateway.write(
      'routes.yaml',
      route('TCPRoute', 'first', `${ofDb(5432)}, rules: [{ backendRefs: [{ name: other, port: 5432 }] }]`) +
        route(
          'TCPRoute',
          'later',
          `${ofDb(5432)}, rules: [{ backendRefs: [{ name: db, port: 5432 }] }]`,
          "creationTimestamp: '2027-01-01T00:00:00Z'",
        ),
    );
    await eventually('the route holds', async () => (await reached(5432)) === 'other');
    expect(await reached(7000)).toBe('plain');
    expect(JSON.stringify(gateway.status('TCPRoute default/first'))).toContain('Successfully accepted Route');
    await gateway.remove('routes.yaml');
    await eventually('the default is back', async () => (await reached(5432)) === 'plain');
  });

  test('shares connections out by weight, those of an invalid backend are closed', async () => {
    await gateway.write(
      'routes.yaml',
      route(
        'TCPRoute',
        'shares',
        `${ofDb(5432)}, rules: [{ backendRefs: [{ name: other, port: 5432 }, { name: db, port: 5432, weight: 2 }, { name: gone, port: 1 }] }]`,
      ),
    );
    await eventually('the route holds', async () => (await reached(5432)) === 'other');
    const seen = new Map<string, number>();
    for (let i = 0; i < 120; i++) {
      const name = await reached(5432);
      seen.set(name, (seen.get(name) ?? 0) + 1);
    }
    expect([...seen.keys()].toSorted()).toEqual(['closed', 'other', 'plain']);
    expect(seen.get('plain')).toBeGreaterThan(seen.get('other') ?? 0);
    await gateway.remove('routes.yaml');
    await eventually('the default is back', async () => {
      const names = await Promise.all(Array.from({ length: 10 }, () => reached(5432)));
      return names.every((name) => name === 'plain');
    });
  });
});

describe('a TLSRoute of a Service', () => {
  const tls = route(
    'TLSRoute',
    'by-name',
    `${ofDb(443)}, hostnames: [other.example.com, '*.other.example.com'], rules: [{ backendRefs: [{ name: other, port: 443 }] }]`,
  );

  test('holds for its names, everything else goes to the Service, and open connections stay', async () => {
    const held = await client.dial({ port: 5432 });
    await eventually('TLS passes', async () => (await reached(443, { servername: 'other.example.com' })) === 'secure');
    await gateway.write('routes.yaml', tls);
    await eventually('the route holds', async () => (await reached(443, { servername: 'other.example.com' })) === 'secure-other');
    expect(await reached(443, { servername: 'a.other.example.com' })).toBe('secure-other');
    expect(await reached(443, { servername: 'example.com' })).toBe('secure');
    expect(await reached(8443, { servername: 'other.example.com' })).toBe('secure');
    expect(await reached(5432)).toBe('plain');
    await gateway.remove('routes.yaml');
    await eventually('the default is back', async () => (await reached(443, { servername: 'other.example.com' })) === 'secure');
    const line = new Promise((resolve) => held.on('data', (data: Buffer) => data.toString().includes('still here') && resolve(true)));
    held.write('still here\n');
    expect(await line).toBe(true);
  });

  test('is no bottleneck: connections of all Services go the same way, more than a cluster takes unless told', async () => {
    await gateway.write('routes.yaml', tls);
    await eventually('the route holds', async () => (await reached(443, { servername: 'other.example.com' })) === 'secure-other');
    const seen = new Map<string, number>();
    for (let i = 0; i < 22; i++) {
      const names = i % 2 === 0 ? 'other.example.com' : 'example.com';
      // None is closed before the end of all tests.
      for (const name of await Promise.all(Array.from({ length: 50 }, () => reached(443, { servername: names }))))
        seen.set(name, (seen.get(name) ?? 0) + 1);
    }
    expect(Object.fromEntries(seen)).toEqual({ 'secure-other': 550, secure: 550 });
    await gateway.remove('routes.yaml');
  });

  test('stands behind policies, which see identity, address and server name', async () => {
    const policy = (rule: string): string =>
      objectOf(api.security, 'AuthorizationPolicy', 'deny', `targetRefs: [{ kind: Service, name: db }], action: DENY, rules: [${rule}]`);
    const open = async (principal: string, servername = 'other.example.com') =>
      (await reached(443, { servername, principal })) !== 'closed';
    const good = 'spiffe://cluster.local/ns/good/sa/client';
    await gateway.write('routes.yaml', tls);
    await eventually('the route holds', async () => (await reached(443, { servername: 'other.example.com' })) === 'secure-other');

    await gateway.write('policy.yaml', policy("{ from: [{ source: { namespaces: ['bad'] } }] }"));
    await eventually('the policy holds', async () => !(await open('spiffe://cluster.local/ns/bad/sa/client')));
    expect(await open(good)).toBe(true);
    await gateway.write('policy.yaml', policy("{ from: [{ source: { ipBlocks: ['10.1.2.0/24'] } }] }"));
    await eventually('the policy holds', async () => !(await open(good)));
    await gateway.write('policy.yaml', policy("{ when: [{ key: connection.sni, values: ['other.example.com'] }] }"));
    await eventually('the policy holds', async () => (await open(good, 'example.com')) && !(await open(good)));
    await gateway.remove('policy.yaml');
    await gateway.remove('routes.yaml');
  });
});

describe('a route that cannot have the port', () => {
  const acceptance = (object: string): string => {
    const text = JSON.stringify(gateway.status(object));
    return /"type":"Accepted".*?"message":"(.*?)"/.exec(text)?.[1] ?? text;
  };

  test('of another namespace is told where it belongs', async () => {
    await gateway.write(
      'routes.yaml',
      route('TCPRoute', 'consumer', `${ofDb(5432)}, rules: [{ backendRefs: [{ name: other, port: 5432 }] }]`, 'namespace: client'),
    );
    await eventually('it is told', () => acceptance('TCPRoute client/consumer').includes('has to be in its namespace default'));
    expect(await reached(5432)).toBe('plain');
  });

  test('leaves a port without declaration to an HTTPRoute', async () => {
    await gateway.write(
      'routes.yaml',
      route('TCPRoute', 'tcp', `${ofDb(7000)}, rules: [{ backendRefs: [{ name: other, port: 5432 }] }]`) +
        route('HTTPRoute', 'web', `${ofDb(7000)}, rules: [{ backendRefs: [{ name: other, port: 5432 }] }]`),
    );
    await eventually('it is told', () => acceptance('TCPRoute default/tcp').includes('HTTPRoute default/web names it'));
    await gateway.remove('routes.yaml');
  });
});

describe('other parents', () => {
  const toOther = (kind: string, name: string, parent: string, port: number, more = ''): string =>
    route(kind, name, `parentRefs: [${parent}], ${more} rules: [{ backendRefs: [{ name: other, port: ${port} }] }]`);

  test.each([
    ['ServiceEntry', '{ group: networking.istio.io, kind: ServiceEntry, name: outside }'],
    ['Hostname', '{ group: networking.istio.io, kind: Hostname, name: outside.example.com }'],
  ])('%s', async (_kind, parent) => {
    const address = '10.96.1.9';
    await gateway.write(
      'outside.yaml',
      `---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: outside, labels: { istio.io/use-waypoint: gw } }
spec:
  hosts: [outside.example.com]
  addresses: [${address}]
  resolution: STATIC
  ports: [{ name: tcp, number: 5432, protocol: TCP, targetPort: ${outside.port} }, { name: tls, number: 443, protocol: TLS, targetPort: ${outsideSecure.port} }]
  endpoints: [{ address: ${machine} }]
`,
    );
    const at = (port: number, servername?: string) => reached(port, { address, ...(servername !== undefined && { servername }) });
    await eventually('it is served', async () => (await at(5432)) === 'outside' && (await at(443, 'a.example.com')) === 'outside-secure');
    await gateway.write(
      'routes.yaml',
      toOther('TCPRoute', 'tcp', parent.replace('}', ', port: 5432 }'), 5432) +
        toOther('TLSRoute', 'tls', parent, 443, 'hostnames: [a.example.com],'),
    );
    await eventually('the routes hold', async () => (await at(5432)) === 'other' && (await at(443, 'a.example.com')) === 'secure-other');
    expect(await at(443, 'b.example.com')).toBe('outside-secure');
    await gateway.remove('routes.yaml');
    await gateway.remove('outside.yaml');
  });

  test('the waypoint: for all Services, behind their own routes', async () => {
    await gateway.write(
      'routes.yaml',
      toOther('TCPRoute', 'all-tcp', '{ name: gw }', 5432) +
        toOther('TLSRoute', 'all-tls', '{ name: gw }', 443, 'hostnames: [a.example.com],'),
    );
    await eventually('the routes hold', async () => (await reached(5432)) === 'other');
    await eventually('by name too', async () => (await reached(443, { servername: 'a.example.com' })) === 'secure-other');
    // A port of which nobody says that it speaks TLS is not looked at.
    expect(await reached(7000)).toBe('other');
    expect(JSON.stringify(gateway.status('TCPRoute default/all-tcp'))).toContain('Successfully accepted Route');
    await gateway.write('own.yaml', route('TCPRoute', 'own', `${ofDb(5432)}, rules: [{ backendRefs: [{ name: db, port: 5432 }] }]`));
    await eventually('that of the Service wins', async () => (await reached(5432)) === 'plain');
    await gateway.remove('own.yaml');
    await gateway.remove('routes.yaml');
    await eventually('the default is back', async () => (await reached(5432)) === 'plain');
  });
});
