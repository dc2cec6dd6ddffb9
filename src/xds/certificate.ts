import { readFileSync, unwatchFile, watchFile } from 'node:fs';
import { createSecureContext } from 'node:tls';
import { experimental } from '@grpc/grpc-js';
import type { ServerCredentials } from '@grpc/grpc-js';

/** A certificate chain and its key, PEM. */
export interface KeyPair {
  readonly certificate: Buffer;
  readonly privateKey: Buffer;
}

/** A key pair that may change while it is in use. New connections get the current one; open ones live on. */
export interface ServerCertificate {
  current(): KeyPair;
  onChange(listener: () => void): Disposable;
}

/**
 * Follows two files (a mounted Secret: the kubelet swaps a symlink, so they are polled and not watched). A pair that does not fit is
 * reported and ignored; the last good one stays. Throws if there is no good one to begin with.
 */
export function certificateFiles(
  files: { readonly certificate: string; readonly privateKey: string },
  o: { readonly intervalMs?: number; readonly onError: (error: unknown) => void },
): ServerCertificate & Disposable {
  const read = (): KeyPair => {
    const pair = { certificate: readFileSync(files.certificate), privateKey: readFileSync(files.privateKey) };
    createSecureContext({ cert: pair.certificate, key: pair.privateKey });
    return pair;
  };
  let pair = read();
  const listeners = new Set<() => void>();
  const changed = (): void => {
    try {
      pair = read();
    } catch (error) {
      o.onError(error);
      return;
    }
    for (const listener of listeners) listener();
  };
  for (const file of Object.values(files)) watchFile(file, { interval: o.intervalMs ?? 5000, persistent: false }, changed);
  return {
    current: () => pair,
    onChange(listener) {
      listeners.add(listener);
      return { [Symbol.dispose]: () => void listeners.delete(listener) };
    },
    [Symbol.dispose]() {
      for (const file of Object.values(files)) unwatchFile(file, changed);
    },
  };
}

/** Server credentials of grpc-js that follow the certificate, through its certificate provider. */
export function reloadingCredentials(certificate: ServerCertificate): ServerCredentials {
  const subscriptions = new Map<unknown, Disposable>();
  const provider: experimental.CertificateProvider = {
    addCaCertificateListener: () => {},
    removeCaCertificateListener: () => {},
    addIdentityCertificateListener(listener) {
      const tell = (): void => listener({ ...certificate.current() });
      subscriptions.set(listener, certificate.onChange(tell));
      // Not at once: grpc-js registers its own watcher only after this call.
      queueMicrotask(tell);
    },
    removeIdentityCertificateListener(listener) {
      subscriptions.get(listener)?.[Symbol.dispose]();
      subscriptions.delete(listener);
    },
  };
  return experimental.createCertificateProviderServerCredentials(provider, null, false);
}
