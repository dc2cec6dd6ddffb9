/** [UpstreamTls] -> the transport socket of a cluster. */
import type { UpstreamProtocol, UpstreamTls } from '../../ir/backend.ts';
import { type CertificateValidationContext, type Cluster, SubjectAltNameMatcher_SanType as SanType, any } from '../proto/index.ts';
import { overAds } from './values.ts';

/** Where Debian, which the proxy's image is made from, keeps the CAs that browsers trust. */
const systemCas = '/etc/ssl/certs/ca-certificates.crt';

/** No certificate has this SHA-256. */
const impossibleHash = '0'.repeat(64);

/** Translates TLS to a backend; `clientCertificate` is the name of an SDS secret. */
export function upstreamTlsSocket(
  tls: UpstreamTls,
  protocol: UpstreamProtocol,
  clientCertificate: string | undefined,
): NonNullable<Cluster['transport_socket']> {
  return {
    name: 'envoy.transport_sockets.tls',
    typed_config: any('envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext', {
      ...(tls.sni !== undefined && { sni: tls.sni }),
      common_tls_context: {
        alpn_protocols: [protocol === 'http2' ? 'h2' : 'http/1.1'],
        ...(tls.trust !== 'anybody' && { validation_context: validation(tls, tls.trust) }),
        ...(clientCertificate !== undefined && {
          tls_certificate_sds_secret_configs: [{ name: clientCertificate, sds_config: overAds }],
        }),
      },
    }),
  };
}

function validation({ subjectAltNames }: UpstreamTls, trust: Exclude<UpstreamTls['trust'], 'anybody'>): CertificateValidationContext {
  if (trust === 'nobody') return { verify_certificate_hash: [impossibleHash] };
  return {
    trusted_ca: trust === 'system' ? { filename: systemCas } : { inline_string: trust.pem },
    match_typed_subject_alt_names: subjectAltNames.map(({ type, value }) => ({
      san_type: type === 'uri' ? SanType.URI : SanType.DNS,
      matcher: { exact: value },
    })),
  };
}
