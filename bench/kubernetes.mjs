// A small client of the API server for benchmarks: KUBECONFIG -> requests over kept connections, and nothing in between that takes time.
import { readFileSync } from 'node:fs';
import https from 'node:https';
import { parse } from 'yaml';

/** The current context of the kubeconfig: server, and TLS and header options of its user. */
function connection() {
  const path = process.env.KUBECONFIG;
  if (!path) throw new Error('KUBECONFIG is not set; next: export KUBECONFIG="$(test/lab/lab kubeconfig)"');
  const config = parse(readFileSync(path, 'utf8'));
  const context = config.contexts.find((c) => c.name === config['current-context']).context;
  const { cluster } = config.clusters.find((c) => c.name === context.cluster);
  const { user } = config.users.find((u) => u.name === context.user);
  const bytes = (data, file) => (data ? Buffer.from(data, 'base64') : file && readFileSync(file));
  if (user.exec)
    throw new Error('a kubeconfig with an exec plugin is not supported here; next: use one with a token or a client certificate');
  return {
    server: new URL(cluster.server),
    tls: {
      ca: bytes(cluster['certificate-authority-data'], cluster['certificate-authority']),
      cert: bytes(user['client-certificate-data'], user['client-certificate']),
      key: bytes(user['client-key-data'], user['client-key']),
    },
    headers: user.token ? { authorization: `Bearer ${user.token}` } : {},
  };
}

/** `request(method, path, body)` answers with `{ status, body }`; `create(path, object)` throws unless the object is there afterwards. */
export function kubernetes({ connections = 16 } = {}) {
  const { server, tls, headers } = connection();
  const agent = new https.Agent({ keepAlive: true, maxSockets: connections, ...tls });

  const request = (method, path, body) =>
    new Promise((resolve, reject) => {
      const options = { host: server.hostname, port: server.port || 443, method, path, agent };
      const outgoing = https.request({ ...options, headers: { ...headers, 'content-type': 'application/json' } }, (answer) => {
        let text = '';
        answer.setEncoding('utf8');
        answer.on('data', (chunk) => (text += chunk));
        answer.on('end', () => resolve({ status: answer.statusCode, body: text ? JSON.parse(text) : {} }));
      });
      outgoing.on('error', reject);
      outgoing.end(body && JSON.stringify(body));
    });

  const create = async (path, object) => {
    const answer = await request('POST', path, object);
    if (answer.status > 299 && answer.status !== 409) throw new Error(`${path}: ${answer.status} ${answer.body.message}`);
  };

  return { request, create, close: () => agent.destroy() };
}
