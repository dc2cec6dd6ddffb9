/** AWS Lambda functions as backends: [Backend.aws.lambda] -> ARN, endpoint, credentials out of a Secret or of the proxy's Pod. */
import type { LambdaFunction, UpstreamTls } from '../ir/backend.ts';
import { SecretBytes } from '../ir/secret-bytes.ts';
import type { Secret } from '../kube/types/core.ts';
import { secretText } from '../kube/types/secret.ts';
import { type BackendSpec, lambdaPatterns } from '../policy/backend/schema.ts';
import type { Problem } from '../policy/problem.ts';
import type { BackendTraits } from './backend.ts';
import { staticHosts } from './static-hosts.ts';

type Aws = NonNullable<BackendSpec['aws']>;

/** Finds a Secret in the namespace of the Backend. */
export type LocalSecret = (name: string) => Secret | undefined;

/** What AWS calls its clouds; functions of regions elsewhere are in `aws`. */
function cloudOf(region: string): { readonly partition: string; readonly domain: string } {
  if (region.startsWith('cn-')) return { partition: 'aws-cn', domain: 'amazonaws.com.cn' };
  return { partition: region.startsWith('us-gov-') ? 'aws-us-gov' : 'aws', domain: 'amazonaws.com' };
}

/** Reads the function. */
export function lambdaTraits(aws: Aws, secret: LocalSecret, problems: Problem[]): BackendTraits | undefined {
  const { lambda, region = 'us-east-1', auth } = aws;
  const complain = (field: string, message: string): undefined => void problems.push({ field: `spec.aws.${field}`, message });
  if (!lambda) return complain('lambda', 'only Lambda functions are supported; set lambda');
  const account = lambda.accountId ?? aws.accountId;
  if (account === undefined) return complain('lambda.accountId', 'accountId must be specified on aws or aws.lambda for lambda backends');
  const qualifier = lambda.qualifier ?? '$LATEST';
  for (const [field, text, pattern] of [
    ['region', region, lambdaPatterns.region],
    ['lambda.accountId', account, lambdaPatterns.accountId],
    ['lambda.functionName', lambda.functionName, lambdaPatterns.functionName],
    ['lambda.qualifier', qualifier, lambdaPatterns.qualifier],
  ] as const) {
    if (!new RegExp(pattern).test(text)) complain(field, `${JSON.stringify(text)} does not match ${pattern}`);
  }
  const { partition, domain } = cloudOf(region);
  const place = placeOf(lambda.endpointURL ?? `https://lambda.${region}.${domain}`);
  if (!place)
    return complain(
      'lambda.endpointURL',
      `${JSON.stringify(lambda.endpointURL)} is no URL of a host; write one such as https://lambda.example.com`,
    );
  const credentials = auth && credentialsOf(auth, secret, complain);
  const { host, port, tls } = place;
  const sni: UpstreamTls = { sni: host, trust: 'system', subjectAltNames: [{ type: 'dns', value: host }] };
  return {
    discovery: staticHosts([{ host, port }], 'spec.aws.lambda.endpointURL', problems),
    protocol: 'http1',
    ...(tls && { tls: sni }),
    lambda: {
      arn: `arn:${partition}:lambda:${region}:${account}:function:${lambda.functionName}:${qualifier}`,
      host: place.authority,
      asynchronous: lambda.invocationMode === 'Async',
      passthrough: lambda.payloadTransformMode === 'None',
      ...(credentials && { credentials }),
    },
  };
}

/** Only a host and a port are taken from the URL: the path is that of the function. */
function placeOf(
  text: string,
): { readonly host: string; readonly authority: string; readonly port: number; readonly tls: boolean } | undefined {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    return undefined;
  }
  if (!/^https?:$/.test(url.protocol) || url.hostname === '' || url.username !== '' || url.search !== '' || url.pathname !== '/')
    return undefined;
  const tls = url.protocol === 'https:';
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  return { host, authority: url.host, port: url.port === '' ? (tls ? 443 : 80) : Number(url.port), tls };
}

function credentialsOf(
  auth: NonNullable<Aws['auth']>,
  secret: LocalSecret,
  complain: (field: string, message: string) => undefined,
): LambdaFunction['credentials'] {
  if (auth.type !== 'Secret') return complain('auth.type', `${auth.type} is not supported by this version; use Secret, or leave out auth`);
  const name = auth.secretRef?.name;
  if (!name) return complain('auth.secretRef', "secretRef must be specified when type is 'Secret'");
  const found = secret(name);
  if (!found) return complain('auth.secretRef', `Secret ${name} not found`);
  const [accessKey, secretKey, sessionToken] = ['accessKey', 'secretKey', 'sessionToken'].map((key) => valueOf(found, key));
  if (!accessKey || !secretKey) return complain('auth.secretRef', `Secret ${name} has no values for accessKey and secretKey`);
  return { accessKey, secretKey, ...(sessionToken && { sessionToken }) };
}

/** Without the line break that files end with. */
function valueOf(secret: Secret, key: string): SecretBytes | undefined {
  const text = secretText(secret, key)?.trim();
  return text ? new SecretBytes(Buffer.from(text)) : undefined;
}
