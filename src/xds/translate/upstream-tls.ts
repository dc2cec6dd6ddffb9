/** [UpstreamTls] -> the transport socket of a cluster. */
import type { UpstreamProtocol, UpstreamTls } from '../../ir/backend.ts';
import { sanTypes } from './downstream-tls.ts';
import { type CertificateValidationContext, type Cluster, any } from '../proto/index.ts';
import { overAds } from './values.ts';

/** Where Debian, which the proxy's image is made from, keeps the CAs that browsers trust. */
const systemCas = '/etc/ssl/certs/ca-certificates.crt';

/** No certificate has this SHA-256. */
const impossibleHash = '0'.repeat(64);

/** Translates TLS to a backend; `ofGateway` is the name of an SDS secret, for backends that have none of their own. */
export function upstreamTlsSocket(
  tls: UpstreamTls,
  protocol: UpstreamProtocol,
  ofGateway: string | undefined,
): NonNullable<Cluster['transport_socket']> {
  const clientCertificate = tls.clientCertificate ?? ofGateway;
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

/** Whether the name of each request is the one that is asked for, and the one that the certificate must be for: it would stand for all others. */
export function requestNames(tls: UpstreamTls | undefined): { readonly auto_sni: boolean; readonly auto_san_validation: boolean } {
  return {
    auto_sni: tls?.sni === undefined,
    auto_san_validation: tls === undefined || (tls.trust !== 'anybody' && tls.subjectAltNames.length === 0),
  };
}

function validation({ subjectAltNames }: UpstreamTls, trust: Exclude<UpstreamTls['trust'], 'anybody'>): CertificateValidationContext {
  if (trust === 'nobody') return { verify_certificate_hash: [impossibleHash] };
  return {
    trusted_ca: trust === 'system' ? { filename: systemCas } : { inline_string: trust.pem },
    ...(trust !== 'system' && trust.crl !== undefined && { crl: { inline_string: trust.crl } }),
    match_typed_subject_alt_names: subjectAltNames.map(({ type, value }) => ({
      san_type: sanTypes[type],
      matcher: { exact: value },
    })),
  };
}
