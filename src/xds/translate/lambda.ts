/**
 * A cluster whose requests are invocations of a Lambda function: a filter of the cluster itself makes them so and signs them, each try anew, and
 * no listener knows of it.
 */
import type { LambdaFunction } from '../../ir/backend.ts';
import type { SecretBytes } from '../../ir/secret-bytes.ts';
import { AwsLambdaConfig_InvocationMode as Mode, type Cluster as EnvoyCluster, any } from '../proto/index.ts';

/** What such a cluster has besides endpoints. Without credentials of its own the proxy finds some in its environment. */
export function lambdaOptions({ arn, host, asynchronous, passthrough, credentials }: LambdaFunction): Partial<EnvoyCluster> {
  const lambda = any('envoy.extensions.filters.http.aws_lambda.v3.Config', {
    arn,
    host_rewrite: host,
    invocation_mode: asynchronous ? Mode.ASYNCHRONOUS : Mode.SYNCHRONOUS,
    payload_passthrough: passthrough,
    ...(credentials && {
      credentials: {
        access_key_id: textOf(credentials.accessKey),
        secret_access_key: textOf(credentials.secretKey),
        ...(credentials.sessionToken && { session_token: textOf(credentials.sessionToken) }),
      },
    }),
  });
  return {
    // The filter leaves the requests of all other clusters alone.
    metadata: { filter_metadata: { 'com.amazonaws.lambda': { fields: { egress_gateway: { bool_value: true } } } } },
    typed_extension_protocol_options: {
      'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': any('envoy.extensions.upstreams.http.v3.HttpProtocolOptions', {
        explicit_http_config: { http_protocol_options: {} },
        http_filters: [
          { name: 'envoy.filters.http.aws_lambda', typed_config: lambda },
          {
            name: 'envoy.filters.http.upstream_codec',
            typed_config: any('envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec', {}),
          },
        ],
      }),
    },
  };
}

function textOf(secret: SecretBytes): string {
  return Buffer.from(secret.reveal()).toString();
}
