/** IPv6 where the cluster gives its Pods none: all Pods are on one bridge, so an address each is all it takes. */
import { execFileSync } from 'node:child_process';

/** The IPv6 address that the double gives to a Pod: its IPv4 address in the last 32 bits. */
export function sixOf(address: string): string {
  const [a = 0, b = 0, c = 0, d = 0] = address.split('.').map(Number);
  return new URL(`http://[fd00:244::${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}]`).hostname.slice(1, -1);
}

const ip = (...args: readonly string[]): void => void execFileSync('ip', ['-6', ...args]);

/** Gives the Pod in whose network namespace this runs its address. */
export function addAddress(address: string): void {
  ip('address', 'replace', `${address}/64`, 'dev', 'eth0', 'nodad');
}

/** A Service address has to have a way out for a connection to be captured. */
export function addRoute(address: string): void {
  ip('route', 'replace', `${address}/128`, 'dev', 'eth0');
}
