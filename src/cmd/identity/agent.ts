/** `kgateway agent`: beside a proxy that ends HBONE, it keeps its certificate. Envoy starts when the first one is there. */
import { createServer } from 'node:http';
import { agentPort } from '../../deploy/identity-agent.ts';
import type { Logger } from '../log.ts';
import { type IdentityOptions, keepIdentity } from './identity.ts';

export interface AgentOptions extends Omit<IdentityOptions, 'on'> {
  readonly log: Logger;
}

export interface Agent {
  stop(): Promise<void>;
}

/** Runs until stopped. */
export async function runAgent({ log, ...o }: AgentOptions): Promise<Agent> {
  const identity = keepIdentity({
    ...o,
    on: {
      issued: ({ identity: name, notAfter }) =>
        log.info({ identity: name, notAfter: new Date(notAfter).toISOString() }, 'certificate issued'),
      failed: (error) =>
        log.warn(
          { err: error, authority: o.authority.address },
          'no new certificate; the current one, if any, stays in use, and it is tried again: is istiod reachable, and ConfigMap istio-ca-root-cert in this namespace?',
        ),
    },
  });
  const server = createServer((request, response) => {
    const known = request.url === '/ready';
    response.writeHead(known ? (identity.valid() ? 200 : 503) : 404).end();
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(agentPort, resolve);
  });
  return {
    stop: async () => {
      server.close();
      server.closeAllConnections();
      await identity.stop();
    },
  };
}
