#!/usr/bin/env node
/** The command line. Everything is constructed here and in what it calls; nothing else in src/ starts anything. */
import { existsSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { runController } from './controller.ts';
import { runLocal } from './local.ts';
import { identityRevokedFile, identityRootsFile, identityTokenFile } from '../deploy/identity-agent.ts';
import { identityFolder } from '../ir/mesh-identity.ts';
import { runAgent } from './identity/agent.ts';
import { createLogger } from './log.ts';
import { runPreflight } from './preflight.ts';
import { readSettings, unknownVariables } from './settings.ts';
import { version } from './version.ts';

const usage = `kgateway [COMMAND]

  controller          run in a cluster (the default); settings come from KGW_* variables, see docs/settings.md
  agent               beside a waypoint that ends HBONE: keeps its certificate; CA_ADDRESS and CLUSTER_ID say of whom
  preflight -n NAME   what a waypoint changes for the policies of a namespace (KUBECONFIG); exit code 2 when anything does
  local FOLDER        serve a folder of YAML files through a real Envoy on loopback (ENVOY_PATH)
`;

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

function fail(message: string): never {
  process.stderr.write(`error: ${message}\n`);
  process.exit(1);
}

async function local(folder: string | undefined): Promise<void> {
  const envoy = process.env['ENVOY_PATH'];
  if (folder === undefined) fail(`a folder is missing\n${usage}`);
  if (!existsSync(folder)) fail(`folder ${folder} does not exist; try examples/quickstart`);
  if (envoy === undefined || !existsSync(envoy)) fail('ENVOY_PATH names no Envoy binary; `make run` finds or fetches one');
  const running = await runLocal({
    folder,
    envoy,
    log: createLogger(process.env['KGW_LOG_LEVEL'] ?? 'warn', 2),
    print,
  });
  await untilSignal();
  print('\nstopping');
  await running.stop();
}

async function controller(): Promise<void> {
  const settings = readSettings(process.env);
  const log = createLogger(settings.logLevel);
  process.on('unhandledRejection', (error) => log.error({ err: error }, 'unhandled rejection: this is a bug'));
  const unknown = unknownVariables(process.env);
  if (unknown.length > 0)
    log.warn({ variables: unknown }, 'variables that are no settings have no effect; docs/settings.md lists the settings');
  const running = await runController({ settings, log });
  await untilSignal();
  log.info('stopping');
  await running.stop();
}

async function agent(): Promise<void> {
  const { CA_ADDRESS: address, CLUSTER_ID: clusterId = 'Kubernetes', KGW_LOG_LEVEL: level = 'info' } = process.env;
  if (!address) fail("CA_ADDRESS is not set; give the address of Istio's CA, as istiod.istio-system.svc:15012");
  const running = await runAgent({
    authority: { address, clusterId },
    tokenFile: identityTokenFile,
    rootsFile: identityRootsFile,
    revokedFile: identityRevokedFile,
    folder: identityFolder,
    log: createLogger(level),
  });
  await untilSignal();
  await running.stop();
}

async function preflight(options: string[]): Promise<number> {
  const { values } = parseArgs({ args: options, options: { namespace: { type: 'string', short: 'n' } } });
  const { namespace } = values;
  if (namespace === undefined) fail(`a namespace is missing\n${usage}`);
  const { text, clean } = await runPreflight(namespace, process.env['KGW_ISTIO_NAMESPACE'] ?? 'istio-system');
  print(text);
  return clean ? 0 : 2;
}

function untilSignal(): Promise<void> {
  return new Promise((done) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => done());
  });
}

const [command = 'controller', ...args] = process.argv.slice(2);
switch (command) {
  case 'controller':
    await controller();
    process.exit(0);
  case '--version':
  case 'version':
    print(version);
    process.exit(0);
  case 'agent':
    await agent();
    process.exit(0);
  case 'preflight':
    process.exit(await preflight(args));
  case 'local':
    await local(args[0]);
    process.exit(0);
  default:
    fail(`unknown command ${command}\n${usage}`);
}
