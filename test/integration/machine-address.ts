/** An address of this machine that stands for that of a Pod: nothing leads a proxy to loopback. */
import { networkInterfaces } from 'node:os';

/** Throws where there is no network at all. */
export function machineAddress(): string {
  const found = Object.values(networkInterfaces())
    .flatMap((all) => all ?? [])
    .find((a) => !a.internal && a.family === 'IPv4' && !a.address.startsWith('169.254.'));
  if (!found) throw new Error('this machine has no address besides loopback; add one: ip address add 198.51.100.1/32 dev lo');
  return found.address;
}
