/**
 * `tls.options` of a listener whose keys begin with `kgateway.dev/`. Source: kgateway, TLS settings of listeners.
 *
 *   [key, value]* -> values that the proxy takes, or what is wrong with them; keys of others are theirs to read
 */
import { isIP } from 'node:net';
import type { ClientValidation, SubjectAltName, TlsParameters, TlsVersion } from '../ir/listener.ts';
import { ownValue } from '../ir/own-value.ts';
import type { Problem } from '../policy/problem.ts';

/** What the options come to. */
export interface TlsOptions {
  readonly parameters: TlsParameters;
  /** Absent: that of the protocol. Empty: none is offered. */
  readonly alpn?: readonly string[];
  /** What certificates of clients must be or have besides a chain to a CA. */
  readonly subjectAltNames: readonly SubjectAltName[];
  readonly certificateHashes: readonly string[];
}

const prefix = 'kgateway.dev/';

/** The least version of TLS without options. */
const defaultMinVersion: TlsVersion = '1.2';

const versions: readonly TlsVersion[] = ['1.0', '1.1', '1.2', '1.3'];

/** What has been read so far. */
interface Draft {
  minVersion?: TlsVersion;
  maxVersion?: TlsVersion;
  cipherSuites?: readonly string[];
  curves?: readonly string[];
  signatureAlgorithms?: readonly string[];
  alpn?: readonly string[];
  subjectAltNames: readonly SubjectAltName[];
  certificateHashes: readonly string[];
}

/** Reads a value into the draft; a string says what is wrong with it. */
type Reader = (value: string, draft: Draft) => string | undefined;

const readers: Readonly<Record<string, Reader>> = {
  'min-tls-version': (value, draft) => version(value, (v) => (draft.minVersion = v)),
  'max-tls-version': (value, draft) => version(value, (v) => (draft.maxVersion = v)),
  'cipher-suites': (value, draft) => names(value, isCipher, ciphersHint, (found) => (draft.cipherSuites = found)),
  'ecdh-curves': (value, draft) =>
    names(
      value,
      (n) => curves.has(n),
      [...curves].join(', '),
      (found) => (draft.curves = found),
    ),
  'signature-algorithms': (value, draft) =>
    names(
      value,
      (n) => signatures.has(n),
      [...signatures].join(', '),
      (found) => (draft.signatureAlgorithms = found),
    ),
  'alpn-protocols': (value, draft) => {
    if (value.trim() === 'allow-empty') draft.alpn = [];
    else
      return names(
        value,
        (n) => n.length < 256 && !/\s/.test(n),
        'protocol names such as h2, or allow-empty alone',
        (found) => (draft.alpn = found),
      );
    return undefined;
  },
  'verify-subject-alt-names': (value, draft) =>
    names(
      value,
      () => true,
      'names',
      (found) => (draft.subjectAltNames = found.map(subjectAltName)),
    ),
  'verify-certificate-hash': (value, draft) => {
    const hashes = value.split(/[,-]/).flatMap((h) => h.replaceAll(/[\s:]/g, '').toLowerCase() || []);
    const wrong = hashes.find((h) => !/^[0-9a-f]{64}$/.test(h));
    if (hashes.length === 0 || wrong !== undefined) {
      return `${JSON.stringify(wrong ?? value)} is no SHA-256 hash: 64 hexadecimal digits, with or without colons`;
    }
    draft.certificateHashes = hashes;
    return undefined;
  },
};

/** The keys that have a meaning, for messages and documentation. */
export const tlsOptionKeys: readonly string[] = Object.keys(readers).map((name) => `${prefix}${name}`);

/** Reads the options of a listener; `field` names them in problems. */
export function tlsOptions(
  options: Readonly<Record<string, string>> = {},
  field: string,
): { readonly options: TlsOptions; readonly problems: readonly Problem[] } {
  const draft: Draft = { subjectAltNames: [], certificateHashes: [] };
  const problems: Problem[] = [];
  for (const [key, value] of Object.entries(options)) {
    if (!key.startsWith(prefix)) continue;
    const read = ownValue(readers, key.slice(prefix.length));
    const problem = read ? read(value, draft) : `unknown tls option: ${key}; use one of ${tlsOptionKeys.join(', ')}`;
    if (problem !== undefined) problems.push({ field: `${field}[${key}]`, message: problem });
  }
  const { alpn, subjectAltNames, certificateHashes, cipherSuites, ...parameters } = draft;
  const { minVersion = defaultMinVersion, maxVersion } = draft;
  if (maxVersion !== undefined && maxVersion < minVersion) {
    const message = `maximum tls version ${maxVersion} is less than minimum tls version ${minVersion}${draft.minVersion ? '' : ', the default one; set min-tls-version too'}`;
    problems.push({ field: `${field}[${prefix}max-tls-version]`, message });
  }
  // Those of TLS 1.3 cannot be chosen.
  const older = cipherSuites?.filter((c) => !tls13Ciphers.has(c));
  if (older?.length === 0 && minVersion !== '1.3') {
    const message = 'cipher suites of TLS 1.3 alone leave none for TLS 1.2; name one, or set min-tls-version to 1.3';
    problems.push({ field: `${field}[${prefix}cipher-suites]`, message });
  }
  return {
    options: {
      parameters: { ...parameters, minVersion, ...(older?.length && { cipherSuites: older }) },
      ...(alpn && { alpn }),
      subjectAltNames,
      certificateHashes,
    },
    problems,
  };
}

/**
 * What is asked of clients with the options. A hash needs no CA: it is of one certificate. Names do, for anyone can write some into a certificate
 * of his own; then a string says so.
 */
export function withClientOptions(clients: ClientValidation | undefined, options: TlsOptions): ClientValidation | string | undefined {
  const { subjectAltNames, certificateHashes } = options;
  if (subjectAltNames.length === 0 && certificateHashes.length === 0) return clients;
  if (!clients?.pem && subjectAltNames.length > 0) {
    return `${prefix}verify-subject-alt-names needs CAs that clients are verified with; set spec.tls.frontend of the Gateway, on an HTTPS listener`;
  }
  return {
    ...(clients ?? { required: true }),
    ...(subjectAltNames.length > 0 && { subjectAltNames }),
    ...(certificateHashes.length > 0 && { certificateHashes }),
  };
}

function version(value: string, set: (v: TlsVersion) => void): string | undefined {
  const found = versions.find((v) => v === value.trim());
  if (found === undefined) return `${JSON.stringify(value)} is no version of TLS; use ${versions.join(', ')}`;
  set(found);
  return undefined;
}

/** A list with commas. */
function names(
  value: string,
  isKnown: (name: string) => boolean,
  hint: string,
  set: (found: readonly string[]) => void,
): string | undefined {
  const found = value.split(',').flatMap((n) => n.trim() || []);
  const unknown = found.find((n) => !isKnown(n));
  if (found.length === 0 || unknown !== undefined) return `${JSON.stringify(unknown ?? value)} is not known; use ${hint}`;
  set([...new Set(found)]);
  return undefined;
}

function subjectAltName(text: string): SubjectAltName {
  if (text.includes('://')) return { type: 'uri', value: text };
  if (text.includes('@')) return { type: 'email', value: text };
  return { type: isIP(text) === 0 ? 'dns' : 'ip', value: text };
}

// What Envoy 1.40 takes (BoringSSL): an unknown name would make it refuse the whole listener. Each was tried there.
const curves: ReadonlySet<string> = new Set(['X25519MLKEM768', 'X25519', 'P-256', 'P-384', 'P-521']);
const signatures: ReadonlySet<string> = new Set([
  'ecdsa_secp256r1_sha256',
  'ecdsa_secp384r1_sha384',
  'ecdsa_secp521r1_sha512',
  'rsa_pss_rsae_sha256',
  'rsa_pss_rsae_sha384',
  'rsa_pss_rsae_sha512',
  'ed25519',
  'rsa_pkcs1_sha256',
  'rsa_pkcs1_sha384',
  'rsa_pkcs1_sha512',
  'rsa_pkcs1_sha1',
  'ecdsa_sha1',
]);
const tls13Ciphers: ReadonlySet<string> = new Set(['TLS_AES_128_GCM_SHA256', 'TLS_AES_256_GCM_SHA384', 'TLS_CHACHA20_POLY1305_SHA256']);
/** Those of TLS 1.2 and before, by both names that they go by. */
const olderCiphers: readonly (readonly [string, string])[] = [
  ['ECDHE-ECDSA-AES128-GCM-SHA256', 'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256'],
  ['ECDHE-RSA-AES128-GCM-SHA256', 'TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256'],
  ['ECDHE-ECDSA-AES256-GCM-SHA384', 'TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384'],
  ['ECDHE-RSA-AES256-GCM-SHA384', 'TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384'],
  ['ECDHE-ECDSA-CHACHA20-POLY1305', 'TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256'],
  ['ECDHE-RSA-CHACHA20-POLY1305', 'TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256'],
  ['ECDHE-ECDSA-AES128-SHA', 'TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA'],
  ['ECDHE-RSA-AES128-SHA', 'TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA'],
  ['ECDHE-ECDSA-AES256-SHA', 'TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA'],
  ['ECDHE-RSA-AES256-SHA', 'TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA'],
  ['AES128-GCM-SHA256', 'TLS_RSA_WITH_AES_128_GCM_SHA256'],
  ['AES256-GCM-SHA384', 'TLS_RSA_WITH_AES_256_GCM_SHA384'],
  ['AES128-SHA', 'TLS_RSA_WITH_AES_128_CBC_SHA'],
  ['AES256-SHA', 'TLS_RSA_WITH_AES_256_CBC_SHA'],
];
const ciphers: ReadonlySet<string> = new Set([...olderCiphers.flat(), ...tls13Ciphers]);
const ciphersHint = `names such as ${olderCiphers[1]?.join(' or ')}`;

function isCipher(name: string): boolean {
  return ciphers.has(name);
}
