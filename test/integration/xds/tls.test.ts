import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { Client, credentials } from '@grpc/grpc-js';
import { afterEach, expect, test } from 'vitest';
import { lengthDelimited } from '../../../src/xds/discovery.ts';
import { TypeUrl } from '../../../src/xds/resource.ts';
import { adsService, certificateFiles, startXdsServer } from '../../../src/xds/server.ts';
import { until } from './proxy.ts';

const closing: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

test('a new certificate is used by new connections; open streams live on; a broken pair is ignored', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'xds-tls-'));
  closing.push(() => rmSync(folder, { recursive: true }));
  const at = (name: string): string => join(folder, name);
  const make = (name: string): void => {
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', at(`${name}.key`)];
    const names = ['-subj', `/CN=${name}`, '-addext', 'subjectAltName=DNS:localhost'];
    execFileSync('openssl', ['req', '-x509', ...key, '-out', at(`${name}.crt`), ...names, '-days', '1'], { stdio: 'pipe' });
  };
  const install = (name: string): void => {
    copyFileSync(at(`${name}.key`), at('tls.key'));
    copyFileSync(at(`${name}.crt`), at('tls.crt'));
  };
  make('first');
  make('second');
  install('first');
  const errors: unknown[] = [];
  const tls = certificateFiles(
    { certificate: at('tls.crt'), privateKey: at('tls.key') },
    { intervalMs: 20, onError: (e) => errors.push(e) },
  );
  closing.push(() => tls[Symbol.dispose]());
  const sink = { set: () => {}, delete: () => {} };
  const view = { get: () => undefined, names: () => [] };
  const server = await startXdsServer({
    address: '0.0.0.0:0',
    tls,
    authenticate: () => Promise.resolve({ ok: true }),
    store: { scope: () => view, watch: () => ({ [Symbol.dispose]: () => {} }), sizes: () => new Map(), close: () => {} },
    ready: () => Promise.resolve(),
    proxies: sink,
    rejections: sink,
    log: { info: () => {}, warn: () => {}, error: () => {} },
  });
  closing.push(() => server.close());

  const subject = async (): Promise<string> => {
    const socket = connect({
      port: server.port,
      host: '127.0.0.1',
      servername: 'localhost',
      rejectUnauthorized: false,
      ALPNProtocols: ['h2'],
    });
    await once(socket, 'secureConnect');
    const name = String(socket.getPeerCertificate().subject.CN);
    socket.destroy();
    return name;
  };
  expect(await subject()).toBe('first');

  const client = new Client(`localhost:${server.port}`, credentials.createSsl(null, null, null, { rejectUnauthorized: false }));
  closing.push(() => client.close());
  const { path, requestSerialize, responseDeserialize } = adsService.DeltaAggregatedResources;
  const call = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize);
  call.on('error', () => {});
  const role = lengthDelimited(3, 'kgateway-kube-gateway-api~web~gw');
  const metadata = lengthDelimited(1, Buffer.concat([lengthDelimited(1, 'role'), lengthDelimited(2, role)]));
  const node = lengthDelimited(1, lengthDelimited(3, metadata));
  call.write(Buffer.concat([node, lengthDelimited(2, TypeUrl.cluster)]));
  await once(call, 'data');

  writeFileSync(at('tls.crt'), 'not a certificate');
  await until('the broken pair is reported', () => (errors.length > 0 ? true : undefined));
  expect(await subject()).toBe('first');
  install('second');
  await until('the second certificate', async () => ((await subject()) === 'second' ? true : undefined));

  call.write(lengthDelimited(2, TypeUrl.listener));
  await once(call, 'data');
});
