/**
 * Hosts that a user names by address or name: [host, port]* -> addresses, or names that the proxy resolves.
 */
import { BlockList, isIP } from 'node:net';
import type { Cluster, Endpoint } from '../ir/backend.ts';
import { reservedRanges } from '../ir/reserved-address.ts';
import type { Problem } from '../policy/problem.ts';

interface Host {
  readonly host: string;
  readonly port: number;
}

const reserved = new BlockList();
for (const { address, bits, family } of reservedRanges) reserved.addSubnet(address, bits, family);

/** True for addresses of loopback, link-local and multicast, and unspecified ones. */
export function isReservedAddress(address: string): boolean {
  return reserved.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4');
}

const name = /^(?=.{1,253}$)[a-z0-9_](?:[-a-z0-9_]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[-a-z0-9_]{0,61}[a-z0-9_])?)*\.?$/i;

/** The hosts as the discovery of a cluster: with a name among them, the proxy resolves all. */
export function staticHosts(hosts: readonly Host[], field: string, problems: Problem[]): NonNullable<Cluster['discovery']> {
  for (const [i, { host }] of hosts.entries()) {
    const message = hostProblem(host);
    if (message !== undefined) problems.push({ field: `${field}[${i}].host`, message });
  }
  const endpoints = hosts.map(({ host, port }): Endpoint => ({ address: host, port }));
  return { from: hosts.every(({ host }) => isIP(host) !== 0) ? 'static' : 'dns', endpoints };
}

function hostProblem(host: string): string | undefined {
  if (isIP(host) !== 0) {
    return isReservedAddress(host)
      ? `${host} is an address of loopback, link-local or multicast; use one that is reached over the network`
      : undefined;
  }
  // `127.1` and the like: some resolvers take them for addresses.
  if (!name.test(host) || /(?:^|\.)(?:0x[0-9a-f]*|[0-9]+)\.?$/i.test(host)) {
    return `${JSON.stringify(host)} is neither an IP address nor a host name; write one such as 10.0.0.1 or api.example.com`;
  }
  if (/(?:^|\.)localhost\.?$/i.test(host)) return `${host} is the proxy itself; use a host that is reached over the network`;
  return undefined;
}
