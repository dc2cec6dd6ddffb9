/**
 * Requests without a pause from the network namespace of a Pod, each with the answer that it has to get: `URL STATUS` in turn. Prints a line of JSON
 * about what happened since the last one whenever it is told to.
 */
import { Agent, request } from 'node:http';

export interface Summary {
  readonly requests: number;
  /** Anything else than the answer that was expected. */
  readonly problems: readonly string[];
}

const pairs: { readonly url: string; readonly status: number }[] = [];
const args = process.argv.slice(2);
for (let i = 0; i + 1 < args.length; i += 2) pairs.push({ url: args[i] ?? '', status: Number(args[i + 1]) });

let requests = 0;
let problems: string[] = [];

function get(url: string, agent: Agent | false): Promise<string> {
  return new Promise((resolve) => {
    const r = request(url, { agent, timeout: 10_000 }, (response) => {
      response.on('end', () => resolve(String(response.statusCode))).on('error', (error) => resolve(error.message));
      response.resume();
    });
    r.on('timeout', () => r.destroy(new Error('no answer within 10 s')));
    r.on('error', (error: NodeJS.ErrnoException & { readonly reusedSocket?: boolean }) => {
      // The server may close an idle connection while a request is under way on it: HTTP/1.1 clients repeat it (RFC 9110, 9.2.2).
      resolve(r.reusedSocket && error.code === 'ECONNRESET' ? get(url, false) : (error.code ?? error.message));
    });
    r.end();
  });
}

async function client(agent: Agent | false): Promise<never> {
  for (;;) {
    for (const { url, status } of pairs) {
      const got = await get(url, agent);
      requests++;
      if (got !== String(status)) problems.push(`${new Date().toISOString()} ${url}: ${got} instead of ${status}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
}

process.on('message', () => {
  process.send?.({ requests, problems } satisfies Summary);
  requests = 0;
  problems = [];
});
process.on('disconnect', () => process.exit(0));
void client(false);
void client(new Agent({ keepAlive: true, maxSockets: 1 }));
