/** Where this machine is reached from itself over the network: on loopback are proxies themselves, and what users write must not lead there. */
import { networkInterfaces } from 'node:os';

/** An IPv4 address of this machine that is neither of loopback nor of a link. Throws if it has none. */
export function machineAddress(): string {
  const found = Object.values(networkInterfaces())
    .flatMap((all) => all ?? [])
    .find((a) => a.family === 'IPv4' && !a.internal && !a.address.startsWith('169.254.'));
  if (!found) throw new Error('this machine has no address besides loopback; add one: ip address add 198.51.100.1/32 dev lo');
  return found.address;
}
