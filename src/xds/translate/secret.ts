/** A key pair -> SDS Secret. */
import type { KeyPair, TlsCertificate } from '../../ir/listener.ts';
import { encode } from '../proto/index.ts';
import { TypeUrl, type XdsResource, resourceOf } from '../resource.ts';

/** Translates a certificate with its key. */
export function secretResource(certificate: TlsCertificate, pair: KeyPair): XdsResource {
  const bytes = encode('envoy.extensions.transport_sockets.tls.v3.Secret', {
    name: certificate.name,
    tls_certificate: {
      certificate_chain: { inline_bytes: pair.certificate.reveal() },
      private_key: { inline_bytes: pair.privateKey.reveal() },
    },
  });
  return resourceOf(TypeUrl.secret, certificate, bytes);
}
