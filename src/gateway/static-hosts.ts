/**
 * Hosts that a user names by address or name: [host, port]* -> addresses, or names that the proxy resolves.
 *
 * An address of the proxy itself would open its administration to whoever may write a Backend, and link-local ones hold the credentials of cloud
 * machines: both are refused, as the API server refuses them in EndpointSlices.
 */
import { BlockList, isIP } from 'node:net';
import type { Cluster, Endpoint } from '../ir/backend.ts';
import type { Problem } from '../policy/problem.ts';

interface Host {
  readonly host: string;
  readonly port: number;
}

/** Addresses that nothing outside of the Pod or the node has (Kubernetes: validation of EndpointSlices). */
const forbidden = new BlockList();
for (const [address, bits] of [
  ['0.0.0.0', 8],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['224.0.0.0', 4],
  ['255.255.255.255', 32],
] as const)
  forbidden.addSubnet(address, bits, 'ipv4');
for (const [address, bits] of [
  ['::', 128],
  ['::1', 128],
  ['fe80::', 10],
  ['ff00::', 8],
] as const)
  forbidden.addSubnet(address, bits, 'ipv6');

/** True for addresses of loopback, link-local and multicast, and unspecified ones. */
export function isForbiddenAddress(address: string): boolean {
  return forbidden.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4');
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
    return isForbiddenAddress(host)
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
