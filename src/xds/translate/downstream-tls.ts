/** [TlsTermination] -> DownstreamTlsContext: certificates by SDS, so that a new one changes no listener. */
import type { ClientValidation, SubjectAltName, TlsParameters as IrParameters, TlsTermination, TlsVersion } from '../../ir/listener.ts';
import {
  type CertificateValidationContext,
  CertificateValidationContext_TrustChainVerification as TrustChainVerification,
  type FilterChain,
  SubjectAltNameMatcher_SanType as SanType,
  type TlsParameters,
  TlsParameters_TlsProtocol,
  any,
} from '../proto/index.ts';
import { overAds } from './values.ts';

/** The end of TLS from clients. */
export function tlsSocket(tls: TlsTermination): NonNullable<FilterChain['transport_socket']> {
  return {
    name: 'envoy.transport_sockets.tls',
    typed_config: any('envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext', {
      common_tls_context: {
        alpn_protocols: [...tls.alpn],
        tls_params: tlsParams(tls.parameters),
        tls_certificate_sds_secret_configs: tls.secrets.map((name) => ({ name, sds_config: overAds })),
        ...(tls.clients && { validation_context: clientValidation(tls.clients) }),
      },
      ...(tls.clients?.required && { require_client_certificate: { value: true } }),
    }),
  };
}

const versions: Readonly<Record<TlsVersion, TlsParameters_TlsProtocol>> = {
  '1.0': TlsParameters_TlsProtocol.TLSv1_0,
  '1.1': TlsParameters_TlsProtocol.TLSv1_1,
  '1.2': TlsParameters_TlsProtocol.TLSv1_2,
  '1.3': TlsParameters_TlsProtocol.TLSv1_3,
};

function tlsParams({ minVersion, maxVersion, cipherSuites, curves, signatureAlgorithms }: IrParameters): TlsParameters {
  return {
    tls_minimum_protocol_version: versions[minVersion],
    ...(maxVersion !== undefined && { tls_maximum_protocol_version: versions[maxVersion] }),
    ...(cipherSuites && { cipher_suites: [...cipherSuites] }),
    ...(curves && { ecdh_curves: [...curves] }),
    ...(signatureAlgorithms && { signature_algorithms: [...signatureAlgorithms] }),
  };
}

/** Names in certificates, as Envoy calls them. */
export const sanTypes: Readonly<Record<SubjectAltName['type'], SanType>> = {
  dns: SanType.DNS,
  uri: SanType.URI,
  email: SanType.EMAIL,
  ip: SanType.IP_ADDRESS,
};

function clientValidation({ pem, required, subjectAltNames, certificateHashes }: ClientValidation): CertificateValidationContext {
  return {
    ...(pem !== undefined && { trusted_ca: { inline_string: pem } }),
    ...(subjectAltNames && {
      match_typed_subject_alt_names: subjectAltNames.map(({ type, value }) => ({ san_type: sanTypes[type], matcher: { exact: value } })),
    }),
    ...(certificateHashes && { verify_certificate_hash: [...certificateHashes] }),
    ...(!required && { trust_chain_verification: TrustChainVerification.ACCEPT_UNTRUSTED }),
  };
}
