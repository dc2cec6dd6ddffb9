import { createServer } from 'node:net';

/** Where the kernel begins to take ports for outgoing connections (Linux: ip_local_port_range). */
const ephemeral = 32_768;

/**
 * Gives ports of 127.0.0.1 that are free, from `first` up, each once. They are below those of outgoing connections, which would otherwise take a
 * port that was free a moment ago before the program that it is meant for.
 */
export function freePorts(first: number): () => Promise<number> {
  let next = first;
  return async () => {
    while (next < ephemeral) {
      const port = next++;
      if (await isFree(port)) return port;
    }
    throw new Error(`no port from ${first} to ${ephemeral - 1} of 127.0.0.1 is free; end programs that listen there`);
  };
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer().once('error', () => resolve(false));
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)));
  });
}
