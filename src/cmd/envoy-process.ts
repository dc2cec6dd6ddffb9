/** An Envoy as a child process, for running without a cluster: started again when it dies, ended with us. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bootstrapYaml, envoyBootstrap } from '../deploy/bootstrap.ts';
import type { Logger } from './log.ts';

export interface EnvoyProcessOptions {
  readonly path: string;
  readonly gateway: { readonly namespace: string; readonly name: string };
  readonly xdsPort: number;
  readonly adminPort: number;
  /** Unique on this machine: Envoys with the same number would talk to each other. */
  readonly baseId: number;
  /** Where it resolves names; absent: as this machine does. */
  readonly dnsServer?: { readonly address: string; readonly port: number };
  readonly log: Logger;
  /** It is a waypoint, whose metrics have the names of Istio. */
  readonly istioMetrics?: boolean;
}

export interface EnvoyProcess {
  stop(): Promise<void>;
}

const restartMs = 1000;

/** Starts Envoy with a bootstrap that gets everything else over xDS. */
export function startEnvoy(o: EnvoyProcessOptions): EnvoyProcess {
  const folder = mkdtempSync(join(tmpdir(), 'kgateway-envoy-'));
  const config = join(folder, 'bootstrap.yaml');
  const id = `${o.gateway.name}.${o.gateway.namespace}`;
  writeFileSync(
    config,
    bootstrapYaml(
      envoyBootstrap({
        nodeId: id,
        gateway: o.gateway,
        xds: { host: '127.0.0.1', port: o.xdsPort },
        adminPort: o.adminPort,
        istioMetrics: o.istioMetrics === true,
        ...(o.dnsServer && { dnsServer: o.dnsServer }),
      }),
    ),
  );
  let child: ChildProcess | undefined;
  let stopped = false;
  let timer: NodeJS.Timeout | undefined;

  const start = (): void => {
    const args = ['-c', config, '--base-id', String(o.baseId), '--log-level', 'warning', '--concurrency', '1', '--drain-time-s', '1'];
    child = spawn(o.path, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    child.stderr?.setEncoding('utf8').on('data', (text: string) => o.log.debug({ gateway: id }, text.trim()));
    child.on('exit', (code, signal) => {
      if (stopped) return;
      o.log.warn({ gateway: id, code, signal }, 'Envoy ended; it is started again');
      timer = setTimeout(start, restartMs);
    });
    child.on('error', (error) => o.log.error({ gateway: id, err: error }, `Envoy does not start; check that ${o.path} is an Envoy binary`));
  };
  start();

  return {
    stop: async () => {
      stopped = true;
      clearTimeout(timer);
      const ended = new Promise((resolve) => (child && child.exitCode === null ? child.once('exit', resolve) : resolve(undefined)));
      child?.kill('SIGTERM');
      await ended;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
