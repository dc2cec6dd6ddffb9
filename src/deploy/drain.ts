// The end of a proxy without losing requests, and without a shell in its image: the preStop hook runs a second Envoy for a few seconds.
//   kubelet -exec-> [Envoy with drainBootstrap] -POST /healthcheck/fail-> [admin of the proxy]; it ends by itself, then comes SIGTERM
// Why so: docs/decisions/0005-graceful-drain.md.
import { adminPort } from './bootstrap.ts';
import { extensions, httpListener, pipe, socketAddress, staticCluster } from './static-resources.ts';
import type { EnvoyJson } from './static-resources.ts';

const ownAdmin = '@kgateway-drain-admin';
const timer = '@kgateway-drain-timer';

/** A health check is the one request that an Envoy makes by itself, and it may be a POST. */
function post(path: string, timeout: string): EnvoyJson {
  return {
    health_checks: [
      {
        timeout,
        interval: '1s',
        no_traffic_interval: '1s',
        unhealthy_threshold: 1,
        healthy_threshold: 1,
        http_health_check: { path, method: 'POST' },
      },
    ],
  };
}

/**
 * Start configuration of the Envoy that drains the proxy beside it: from its start the proxy answers 503 to `/ready` and asks every client
 * with its next response to reconnect (`Connection: close`, GOAWAY). It ends with exit code 0 after `seconds`, or up to 2 s later.
 */
export function drainBootstrap(seconds: number, admin: number = adminPort): EnvoyJson {
  const delay = {
    name: 'envoy.filters.http.fault',
    typed_config: {
      '@type': `${extensions}.filters.http.fault.v3.HTTPFault`,
      delay: { fixed_delay: `${Math.max(seconds, 1)}s`, percentage: { numerator: 100 } },
    },
  };
  return {
    node: { id: 'drain', cluster: 'drain' },
    admin: { address: pipe(ownAdmin) },
    static_resources: {
      listeners: [
        httpListener('timer', pipe(timer), [{ match: { prefix: '/' }, route: { cluster: 'own_admin', timeout: '0s' } }], [delay]),
      ],
      clusters: [
        staticCluster('proxy_admin', socketAddress('127.0.0.1', admin), post('/healthcheck/fail', '1s')),
        // Asks itself to quit, through a listener that holds the request back.
        staticCluster('timer', pipe(timer), post('/quitquitquit', `${seconds + 60}s`)),
        staticCluster('own_admin', pipe(ownAdmin)),
      ],
    },
  };
}
