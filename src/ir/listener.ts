/**
 * What a proxy listens on.
 *
 *   [ProxyListener] ─┬─> [HttpChain], one for plain HTTP, one a listener for HTTPS -> hosts by scoped routes
 *                    └─> [TcpChain], one for TCP, one a host for TLS -> backends
 */
import type { Authorization } from './authorization.ts';
import type { ObjectRef } from './object-ref.ts';
import type { SecretBytes } from './secret-bytes.ts';
import type { TcpBackend } from './tcp.ts';

export interface TlsTermination {
  /** Names of SDS secrets: one a certificate. */
  readonly secrets: readonly string[];
  readonly alpn: readonly string[];
  readonly parameters: TlsParameters;
  /** Absent: clients need no certificate, and are not asked for one. */
  readonly clients?: ClientValidation;
}

export type TlsVersion = '1.0' | '1.1' | '1.2' | '1.3';

/** What a handshake may come to; absent fields are left to the proxy. Names are those of BoringSSL. */
export interface TlsParameters {
  readonly minVersion: TlsVersion;
  readonly maxVersion?: TlsVersion;
  /** Of TLS 1.2 and before. */
  readonly cipherSuites?: readonly string[];
  readonly curves?: readonly string[];
  readonly signatureAlgorithms?: readonly string[];
}

/** A name in a certificate. */
export interface SubjectAltName {
  readonly type: 'dns' | 'uri' | 'email' | 'ip';
  readonly value: string;
}

/** What is asked of clients. */
export interface ClientValidation {
  /** CAs that may have signed their certificates, in PEM; absent: any, which only a hash makes sense of. */
  readonly pem?: string;
  /** One of these must be in the certificate. */
  readonly subjectAltNames?: readonly SubjectAltName[];
  /** One of these must be its SHA-256: hexadecimal, lower case. */
  readonly certificateHashes?: readonly string[];
  /** False: a client without a certificate, or with one that is not valid, is let in all the same. */
  readonly required: boolean;
}

interface ChainPlace {
  /** Unique in the proxy; part of the scope key, so without a colon. */
  readonly name: string;
  /** Server names that lead here; empty: any. Only with TLS. */
  readonly serverNames: readonly string[];
  readonly tls?: TlsTermination;
  readonly origin: ObjectRef;
}

export interface HttpChain extends ChainPlace {
  readonly kind: 'http';
}

export interface TcpChain extends ChainPlace {
  readonly kind: 'tcp';
  /** The server name is read, and TLS goes through to the backend. */
  readonly passthrough: boolean;
  /** Empty: every connection is closed. */
  readonly backends: readonly TcpBackend[];
  /** Who may connect. Absent: everybody. */
  readonly authorization?: Authorization;
}

export type Chain = HttpChain | TcpChain;

/** One Envoy listener: a port of a Gateway. */
export interface ProxyListener {
  readonly scope: string;
  readonly name: string;
  readonly port: number;
  readonly chains: readonly Chain[];
  readonly origins: readonly ObjectRef[];
}

/** A certificate chain and its private key, in PEM. */
export interface KeyPair {
  readonly certificate: SecretBytes;
  readonly privateKey: SecretBytes;
}

/** A certificate that the proxies of a Gateway get by SDS under `name`. */
export interface TlsCertificate {
  readonly scope: string;
  readonly name: string;
  /** `namespace/name` of the Secret. */
  readonly secret: string;
  readonly origins: readonly ObjectRef[];
}
