/**
 * Hosts that a user names by address or name: [host, port]* -> addresses, or names that the proxy resolves.
 */
import { isIP } from 'node:net';
import type { Cluster, Endpoint } from '../ir/backend.ts';
import { isReservedAddress, isReservedName } from '../ir/reserved-address.ts';
import type { Problem } from '../policy/problem.ts';

interface Host {
  readonly host: string;
  readonly port: number;
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
  if (/(?:^|\.)localhost\.?$/i.test(host)) return `${host} is the proxy itself; use a host that is reached over the network`;
  if (!name.test(host) || isReservedName(host)) {
    return `${JSON.stringify(host)} is neither an IP address nor a host name; write one such as 10.0.0.1 or api.example.com`;
  }
  return undefined;
}
