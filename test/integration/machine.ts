/** Where this machine is reached from itself over the network: on loopback are proxies themselves, and what users write must not lead there. */
import { networkInterfaces } from 'node:os';

/** An IPv4 address of this machine that is not of loopback. Throws if it has none. */
export function machineAddress(): string {
  const found = Object.values(networkInterfaces())
    .flatMap((i) => i ?? [])
    .find((i) => i.family === 'IPv4' && !i.internal);
  if (!found) throw new Error('this machine has no IPv4 address besides loopback; these tests need one');
  return found.address;
}
