/** Certificates in PEM. */
import { X509Certificate } from 'node:crypto';

const block = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g;

/** The certificates in a text, whatever stands between them; undefined when there is none, or one cannot be read. */
export function certificatesIn(text: string): readonly X509Certificate[] | undefined {
  try {
    return text.match(block)?.map((pem) => new X509Certificate(pem));
  } catch {
    return undefined;
  }
}
