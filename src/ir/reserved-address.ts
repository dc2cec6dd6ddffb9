/** Where nothing that a user writes may lead a proxy. */
import { BlockList, isIP } from 'node:net';

/**
 * Addresses that a user's word must not lead a proxy to: it administrates itself on loopback, link-local ones hold the credentials of cloud machines,
 * and nobody in particular answers at the others. Source: Kubernetes, validation of EndpointSlices.
 */
export const reservedRanges: readonly { readonly address: string; readonly bits: number; readonly family: 'ipv4' | 'ipv6' }[] = [
  { address: '0.0.0.0', bits: 8, family: 'ipv4' },
  { address: '127.0.0.0', bits: 8, family: 'ipv4' },
  { address: '169.254.0.0', bits: 16, family: 'ipv4' },
  { address: '224.0.0.0', bits: 4, family: 'ipv4' },
  { address: '255.255.255.255', bits: 32, family: 'ipv4' },
  { address: '::', bits: 128, family: 'ipv6' },
  { address: '::1', bits: 128, family: 'ipv6' },
  { address: 'fe80::', bits: 10, family: 'ipv6' },
  { address: 'ff00::', bits: 8, family: 'ipv6' },
  // The same IPv4 addresses, written as IPv6.
  { address: '::ffff:0.0.0.0', bits: 104, family: 'ipv6' },
  { address: '::ffff:127.0.0.0', bits: 104, family: 'ipv6' },
  { address: '::ffff:169.254.0.0', bits: 112, family: 'ipv6' },
  { address: '::ffff:224.0.0.0', bits: 100, family: 'ipv6' },
  { address: '::ffff:255.255.255.255', bits: 128, family: 'ipv6' },
];

const reserved = new BlockList();
for (const { address, bits, family } of reservedRanges) reserved.addSubnet(address, bits, family);

/** True for addresses of loopback, link-local and multicast, and unspecified ones. */
export function isReservedAddress(address: string): boolean {
  return reserved.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4');
}

/** True for names that are the proxy itself, and for `127.1` and the like, which some resolvers take for addresses. */
export function isReservedName(host: string): boolean {
  return /(?:^|\.)localhost\.?$/i.test(host) || /(?:^|\.)(?:0x[0-9a-f]*|[0-9]+)\.?$/i.test(host);
}
