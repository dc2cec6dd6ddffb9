/** TCP, TLS, UDP and gRPC through a real Envoy: what reaches whom, what is closed, and which connections a change leaves alone. */
import { Agent, request } from 'node:https';
import { connect as connectHttp2, constants } from 'node:http2';
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type XdsCertificate, createCertificate } from '../../../src/cmd/xds-certificate.ts';
import { type Backend, api, gatewayOf, objectOf, routeOf, ruleOf, serviceOf, startBackend } from '../backend.ts';
import { secretOf } from '../certificates.ts';
import { type L4Backend, ask, converse, reached, startTcpBackend, startUdpBackend } from '../l4.ts';
import { type LocalGateway, eventually, startLocalGateway } from '../local.ts';

const ports = { tcp: 9000, bare: 9001, half: 9002, udp: 9000, weighted: 9003, tls: 9443, http: 9080 };

let gateway: LocalGateway;
let web: Backend;
let grpc: Backend;
let own: XdsCertificate;
const l4: L4Backend[] = [];

function l4RouteOf(kind: string, name: string, section: string, backends: string, hostnames?: string): string {
  const hosts = hostnames === undefined ? '' : `hostnames: [${hostnames}], `;
  const spec = `parentRefs: [{ name: gw, sectionName: ${section} }], ${hosts}rules: [{ backendRefs: [${backends}] }]`;
  return objectOf(api.gateway, kind, name, spec);
}

beforeAll(async () => {
  own = await createCertificate(['backend.example.com'], Date.now());
  const certificate = await createCertificate(['term.example.com', 'web.example.com'], Date.now());
  web = await startBackend('web');
  grpc = await startBackend('grpc', { h2c: true });
  const [tcp, secure, udp, udp2] = await Promise.all([
    startTcpBackend('tcp'),
    startTcpBackend('secure', own),
    startUdpBackend('udp'),
    startUdpBackend('udp2'),
  ]);
  l4.push(tcp, secure, udp, udp2);
  const tls = (name: string, fields: string): string => `{ name: ${name}, port: ${ports.tls}, ${fields} }`;
  gateway = await startLocalGateway(
    {
      'gateway.yaml': gatewayOf(
        `{ name: tcp, protocol: TCP, port: ${ports.tcp} }`,
        `{ name: bare, protocol: TCP, port: ${ports.bare} }`,
        `{ name: half, protocol: TCP, port: ${ports.half} }`,
        `{ name: udp, protocol: UDP, port: ${ports.udp} }`,
        `{ name: weighted, protocol: UDP, port: ${ports.weighted} }`,
        tls('pass', `protocol: TLS, hostname: '*.example.com', tls: { mode: Passthrough }`),
        tls('closed', `protocol: TLS, hostname: closed.example.com, tls: { mode: Passthrough }`),
        tls('term', `protocol: TLS, hostname: term.example.com, tls: { certificateRefs: [{ name: cert }] }`),
        tls('web', `protocol: HTTPS, hostname: web.example.com, tls: { certificateRefs: [{ name: cert }] }`),
        `{ name: http, protocol: HTTP, port: ${ports.http} }`,
      ),
      'secret.yaml': secretOf('cert', certificate),
      'backends.yaml':
        [web, grpc, tcp, secure].map((b) => serviceOf(b)).join('') + [udp, udp2].map((b) => serviceOf(b, ', protocol: UDP')).join(''),
      'l4.yaml':
        l4RouteOf('TCPRoute', 'tcp', 'tcp', '{ name: tcp, port: 80 }') +
        l4RouteOf('TCPRoute', 'half', 'half', '{ name: tcp, port: 80 }, { name: gone, port: 80 }, { name: secure, port: 80, weight: 0 }') +
        l4RouteOf('UDPRoute', 'udp', 'udp', '{ name: udp, port: 80 }') +
        l4RouteOf(
          'UDPRoute',
          'weighted',
          'weighted',
          '{ name: udp, port: 80, weight: 6 }, { name: udp2, port: 80, weight: 2 }, { name: gone, port: 80, weight: 2 }',
        ) +
        l4RouteOf('TLSRoute', 'pass', 'pass', '{ name: secure, port: 80 }', `'*.example.com'`) +
        l4RouteOf('TLSRoute', 'term', 'term', '{ name: tcp, port: 80 }', 'term.example.com'),
      'routes.yaml':
        routeOf('web', [], [ruleOf('{ path: { value: / } }', '', 'web')], '{ name: gw, sectionName: web }') +
        `---
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: { name: grpc }
spec:
  parentRefs: [{ name: gw, sectionName: http }]
  hostnames: [grpc.example.com]
  rules:
    - { matches: [{ method: { service: a.Service } }], backendRefs: [{ name: grpc, port: 80 }] }
    - { matches: [{ method: { service: a.Service, method: Gone } }], backendRefs: [{ name: gone, port: 80 }] }
    - { matches: [{ method: { type: RegularExpression, service: 'b|c', method: 'Get.*' } }], backendRefs: [{ name: grpc, port: 80 }] }
`,
    },
    [...new Set(Object.values(ports))],
  );
  const { tcp: tcpPort, tls: tlsPort } = { tcp: gateway.port(ports.tcp), tls: gateway.port(ports.tls) };
  await eventually('Envoy serves', async () => {
    const answers = await Promise.all([reached(tcpPort), reached(tlsPort, 'a.example.com'), reached(tlsPort, 'term.example.com')]);
    return answers.join() === 'tcp,secure,tcp' && (await ask(gateway.port(ports.udp), 'x')) === 'udp x';
  });
});

afterAll(async () => {
  expect(gateway.rejections()).toEqual([]);
  expect(gateway.problems()).toEqual([]);
  await gateway.stop();
  for (const backend of [web, grpc, ...l4]) backend.close();
});

describe('TCP', () => {
  test('the share of an invalid backend is closed, weight 0 gets nothing', async () => {
    const answers = await Promise.all(Array.from({ length: 60 }, () => reached(gateway.port(ports.half))));
    expect(new Set(answers)).toEqual(new Set(['tcp', 'closed']));
    const closed = answers.filter((a) => a === 'closed').length;
    expect(closed).toBeGreaterThan(10);
    expect(closed).toBeLessThan(50);
  });

  test('a port without a route closes', async () => {
    expect(await reached(gateway.port(ports.bare))).toBe('closed');
  });
});

describe('TLS', () => {
  const tls = (servername: string) => reached(gateway.port(ports.tls), servername);

  test('goes through to the backend, whose certificate the client sees', async () => {
    const conversation = await converse(gateway.port(ports.tls), 'a.example.com');
    expect(conversation.certificate?.subjectaltname).toBe('DNS:backend.example.com');
    await conversation.say('hello');
    conversation.close();
  });

  test('ends at the Gateway, in front of a backend without', async () => {
    const conversation = await converse(gateway.port(ports.tls), 'term.example.com');
    expect(conversation.certificate?.subjectaltname).toContain('term.example.com');
    await conversation.say('hello');
    conversation.close();
  });

  test.each(['closed.example.com', 'a.example.org'])('%s belongs to nobody, or to a listener without a route', async (servername) => {
    expect(await tls(servername)).toBe('closed');
  });

  test('what is no TLS is closed', async () => {
    const socket = connect({ host: '127.0.0.1', port: gateway.port(ports.tls) });
    const got = await new Promise<string>((resolve) => {
      let text = '';
      socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
      socket.on('error', () => {}).on('close', () => resolve(text));
      socket.write('GET / HTTP/1.1\r\nhost: a.example.com\r\n\r\n');
    });
    expect(got).toBe('');
  });
});

describe('UDP', () => {
  test('weights, and what an invalid backend gets is lost', async () => {
    const port = gateway.port(ports.weighted);
    await eventually('Envoy serves', async () => (await ask(port, 'x')) !== 'nothing');
    const answers = await Promise.all(Array.from({ length: 200 }, () => ask(port, 'x', 1000)));
    const count = (answer: string): number => answers.filter((a) => a === answer).length;
    expect(count('udp x') + count('udp2 x') + count('nothing')).toBe(200);
    for (const [answer, expected] of [
      ['udp x', 120],
      ['udp2 x', 40],
      ['nothing', 40],
    ] as const) {
      expect(Math.abs(count(answer) - expected), answer).toBeLessThan(25);
    }
  });
});

describe('gRPC', () => {
  interface GrpcAnswer {
    readonly service?: string;
    readonly status?: string;
  }

  /** A call in what matters here: its headers, and the status that a client would see. */
  function callGrpc(path: string): Promise<GrpcAnswer> {
    return new Promise((resolve, reject) => {
      const session = connectHttp2(`http://127.0.0.1:${gateway.port(ports.http)}`);
      session.on('error', reject);
      const stream = session.request({
        [constants.HTTP2_HEADER_METHOD]: 'POST',
        [constants.HTTP2_HEADER_PATH]: path,
        [constants.HTTP2_HEADER_AUTHORITY]: 'grpc.example.com',
        'content-type': 'application/grpc',
        te: 'trailers',
      });
      let status: string | undefined;
      let body = '';
      stream.on('response', (headers) => (status = headers['grpc-status'] as string | undefined));
      stream.on('data', (chunk: Buffer) => (body += chunk.toString()));
      stream.on('error', reject);
      stream.on('end', () => {
        session.close();
        resolve({
          ...(body !== '' && { service: (JSON.parse(body) as { service: string }).service }),
          ...(status !== undefined && { status }),
        });
      });
      stream.end();
    });
  }

  test('by service and method', async () => {
    await eventually('Envoy serves', async () => (await callGrpc('/a.Service/Get')).service === 'grpc');
    expect((await callGrpc('/b/GetOne')).service).toBe('grpc');
    expect((await callGrpc('/bc/GetOne')).status).toBe('12');
    expect((await callGrpc('/b/PutOne')).status).toBe('12');
  });

  test('an invalid backend is UNAVAILABLE', async () => {
    expect((await callGrpc('/a.Service/Gone')).status).toBe('14');
  });
});

test('an AuthorizationPolicy for the Gateway holds for connections too', async () => {
  const policy = (rule: string): string => `---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: deny }
spec: { targetRefs: [{ group: gateway.networking.k8s.io, kind: Gateway, name: gw }], action: DENY, rules: [${rule}] }
`;
  /** RBAC decides on the first bytes. */
  const answers = async (port: number, servername?: string): Promise<boolean> => {
    try {
      const conversation = await converse(gateway.port(port), servername);
      await conversation.say('hello');
      conversation.close();
      return true;
    } catch {
      return false;
    }
  };
  const tls = (servername: string) => reached(gateway.port(ports.tls), servername);
  await gateway.write('policy.yaml', policy('{ when: [{ key: connection.sni, values: [a.example.com] }] }'));
  await eventually('the policy holds', async () => (await tls('a.example.com')) === 'closed');
  expect([await tls('b.example.com'), await tls('term.example.com'), await answers(ports.tcp)]).toEqual(['secure', 'tcp', true]);
  await gateway.write('policy.yaml', policy('{ from: [{ source: { ipBlocks: [127.0.0.0/8] } }] }'));
  await eventually('the policy holds', async () => !(await answers(ports.tcp)));
  expect(await tls('b.example.com')).toBe('closed');
  expect(await answers(ports.tls, 'term.example.com')).toBe(false);
  await gateway.remove('policy.yaml');
  await eventually('everybody may pass', async () => (await answers(ports.tcp)) && (await tls('a.example.com')) === 'secure');
});

test('a route that comes and goes leaves every other connection of its port alone', async () => {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const overHttps = (): Promise<string> =>
    new Promise((resolve, reject) => {
      const options = { host: '127.0.0.1', port: gateway.port(ports.tls), servername: 'web.example.com', rejectUnauthorized: false, agent };
      request({ ...options, headers: { host: 'web.example.com' } }, (response) => {
        const answer = `${response.statusCode} ${response.headers.connection ?? 'kept'} ${response.socket.localPort}`;
        response.resume().on('end', () => resolve(answer));
      })
        .on('error', reject)
        .end();
    });
  const [through, ended, tcp] = await Promise.all([
    converse(gateway.port(ports.tls), 'a.example.com'),
    converse(gateway.port(ports.tls), 'term.example.com'),
    converse(gateway.port(ports.tcp)),
  ]);
  const before = await overHttps();
  expect(before).toMatch(/^200 kept/);

  await gateway.write('more.yaml', l4RouteOf('TLSRoute', 'more', 'pass', '{ name: gone, port: 80 }', 'more.example.com'));
  await eventually('the route serves', async () => (await reached(gateway.port(ports.tls), 'more.example.com')) === 'closed');
  await gateway.write('bare.yaml', l4RouteOf('TCPRoute', 'bare', 'bare', '{ name: tcp, port: 80 }'));
  await eventually('the port serves', async () => (await reached(gateway.port(ports.bare))) === 'tcp');
  await gateway.remove('more.yaml');
  await eventually('the route is gone', async () => (await reached(gateway.port(ports.tls), 'more.example.com')) === 'secure');

  expect(await overHttps()).toBe(before);
  for (const conversation of [through, ended, tcp]) {
    await conversation.say('still there');
    conversation.close();
  }
  agent.destroy();
});
