/** Lambda functions as Backends through a real Envoy, in front of an endpoint that checks signatures as AWS does (Signature Version 4). */
import { createHash, createHmac } from 'node:crypto';
import { type IncomingHttpHeaders, type Server, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { gatewayOf, routeOf } from '../backend.ts';
import { type LocalGateway, call, eventually, startLocalGateway } from '../local.ts';
import { machineAddress } from '../machine.ts';

/** Loopback is refused: a Backend must not lead into the proxy itself. */
const address = machineAddress();
const secretKey = 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY';

interface Invocation {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  readonly signed: boolean;
}
const invocations: Invocation[] = [];
let endpoint: Server;
let gateway: LocalGateway;

const hmac = (key: string | Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest();
const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

/** Whether the signature in the Authorization header is that of the request. Source: AWS, "Create a signed AWS API request". */
function isSigned(method: string, path: string, headers: IncomingHttpHeaders, body: string): boolean {
  const [, key, date = '', region = '', service = '', names = '', signature] =
    /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/([^/]+)\/aws4_request, SignedHeaders=([^,]+), Signature=([0-9a-f]{64})$/.exec(
      headers.authorization ?? '',
    ) ?? [];
  const canonicalHeaders = names.split(';').map((name) => `${name}:${String(headers[name]).trim()}\n`);
  const encoded = path
    .split('/')
    .map((part) => encodeURIComponent(part))
    .join('/');
  const canonical = [method, encoded, '', canonicalHeaders.join(''), names, sha256(body)].join('\n');
  const scope = `${date}/${region}/${service}/aws4_request`;
  const text = ['AWS4-HMAC-SHA256', String(headers['x-amz-date']), scope, sha256(canonical)].join('\n');
  const signing = [date, region, service, 'aws4_request'].reduce<string | Buffer>((k, part) => hmac(k, part), `AWS4${secretKey}`);
  return key === 'AKIDEXAMPLE' && region === 'eu-west-1' && service === 'lambda' && hmac(signing, text).toString('hex') === signature;
}

const backend = (name: string, lambda: string, auth = '{ type: Secret, secretRef: { name: aws } }'): string => `---
apiVersion: gateway.kgateway.dev/v1alpha1
kind: Backend
metadata: { name: ${name} }
spec:
  type: AWS
  aws:
    region: eu-west-1
    accountId: '123456789012'
    auth: ${auth}
    lambda: { functionName: echo, endpointURL: 'http://${address}:${(endpoint.address() as AddressInfo).port}', ${lambda} }
`;
const secret = `---
apiVersion: v1
kind: Secret
metadata: { name: aws }
stringData: { accessKey: AKIDEXAMPLE, secretKey: '${secretKey}', sessionToken: session }
`;
const rule = (path: string, name: string): string =>
  `{ matches: [{ path: { value: ${path} } }], backendRefs: [{ group: gateway.kgateway.dev, kind: Backend, name: ${name} }] }`;

beforeAll(async () => {
  endpoint = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const body = Buffer.concat(chunks).toString();
      const { headers, url = '', method = '' } = request;
      const signed = isSigned(method, url, headers, body);
      invocations.push({ path: url, headers, body, signed });
      if (!signed) return void response.writeHead(403).end('{"message":"The request signature we calculated does not match"}');
      if (headers['x-amz-invocation-type'] === 'Event') return void response.writeHead(202).end();
      const answer = { statusCode: 201, headers: { 'x-function': 'echo' }, body: `answer to ${body}`, isBase64Encoded: false };
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
    });
  });
  await new Promise<void>((resolve) => endpoint.listen(0, '0.0.0.0', resolve));
  gateway = await startLocalGateway(
    {
      'gateway.yaml': gatewayOf('{ name: http, protocol: HTTP, port: 80 }'),
      'secret.yaml': secret,
      'backends.yaml':
        backend('event', '') +
        backend('raw', `payloadTransformMode: None, qualifier: prod`) +
        backend('async', `invocationMode: Async, payloadTransformMode: None`) +
        backend('role', '', '{ type: AssumeRole, assumeRole: { roleArn: x } }') +
        backend('unknown', '', '{ type: Secret, secretRef: { name: gone } }'),
      'routes.yaml': routeOf(
        'main',
        ['a.example.com'],
        [rule('/event', 'event'), rule('/raw', 'raw'), rule('/async', 'async'), rule('/role', 'role'), rule('/unknown', 'unknown')],
      ),
    },
    [80],
  );
  await eventually('Envoy serves', async () => (await send('/raw', 'ready')).status === 200);
});

afterAll(async () => {
  expect(gateway.rejections()).toEqual([]);
  expect(gateway.problems()).toEqual([]);
  await gateway.stop();
  endpoint.close();
  endpoint.closeAllConnections();
});

const send = (path: string, body: string) =>
  call(gateway.port(80), path, {
    method: 'POST',
    body,
    headers: { 'content-type': 'text/plain', 'x-client': 'ada', 'content-length': body.length },
  });
const last = (): Invocation | undefined => invocations.at(-1);

test('a request becomes an event, the answer of the function a response', async () => {
  const answer = await send('/event?a=b', 'hello');
  expect(answer).toMatchObject({ status: 201, headers: { 'x-function': 'echo' } });
  expect(last()).toMatchObject({
    path: '/2015-03-31/functions/arn:aws:lambda:eu-west-1:123456789012:function:echo:$LATEST/invocations',
    signed: true,
    headers: { 'x-amz-security-token': 'session', 'x-amz-invocation-type': 'RequestResponse' },
  });
  expect(JSON.parse(last()?.body ?? '')).toMatchObject({ method: 'POST', raw_path: '/event?a=b', headers: { 'x-client': 'ada' } });
});

test('the body goes as it is, to the version that the qualifier names', async () => {
  const answer = await send('/raw', 'hello');
  expect(answer.status).toBe(200);
  expect(JSON.parse(answer.body)).toMatchObject({ body: 'answer to hello' });
  expect(last()).toMatchObject({ body: 'hello', signed: true, path: expect.stringMatching(/function:echo:prod\/invocations$/) });
});

test('asynchronously the client gets the acceptance', async () => {
  expect((await send('/async', 'hello')).status).toBe(202);
  expect(last()).toMatchObject({ body: 'hello', signed: true, headers: { 'x-amz-invocation-type': 'Event' } });
});

test('without the credentials that it names, and with a kind that is not supported, a Backend is not used', async () => {
  expect((await send('/role', '')).status).toBe(500);
  expect((await send('/unknown', '')).status).toBe(500);
  expect(JSON.stringify(gateway.status('Backend default/role'))).toContain('AssumeRole is not supported');
  expect(JSON.stringify(gateway.status('Backend default/unknown'))).toContain('Secret gone not found');
});

test('credentials follow their Secret, and no status shows them', async () => {
  await gateway.write('secret.yaml', secret.replace('AKIDEXAMPLE', 'OTHER'));
  await eventually('the others are used', async () => (await send('/raw', '')).status === 403);
  await gateway.write('secret.yaml', secret);
  await eventually('they are back', async () => (await send('/raw', '')).status === 200);
  expect(JSON.stringify(gateway.status('Backend default/raw'))).not.toContain(secretKey);
});
