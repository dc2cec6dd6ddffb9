import { freePorts as freePortsFrom } from '../../src/cmd/free-port.ts';

/** Files of tests run one after another, each in a process of its own: they begin in different places, and above what servers have by default. */
export const freePort = freePortsFrom(11_000 + Math.floor(Math.random() * 15_000));

/** So many of them. */
export async function freePorts(count: number): Promise<readonly number[]> {
  const ports: number[] = [];
  while (ports.length < count) ports.push(await freePort());
  return ports;
}
