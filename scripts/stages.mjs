// The stages of `make check`, `make test` and their parts: [stage] <- needs, in the order in which they run. scripts/test.mjs runs them.
import { existsSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { parse } from 'yaml';
import { reports, root, settings } from './settings.mjs';

/**
 * @typedef {{ passed: number; failed: number; skipped: number }} Counts
 * @typedef {object} Stage
 * @property {string} name
 * @property {readonly string[]} groups    targets that include this stage
 * @property {readonly string[]} command
 * @property {readonly string[]} [needs]   stages that must have passed; they run first
 * @property {string} [sets]               environment variable of the later stages that takes the last line of stdout
 * @property {boolean} [setup]            prepares for other stages: counts only when it fails
 * @property {Record<string, string>} [env]
 * @property {() => Counts | undefined} [count]   reads the stage's report; without one, the stage itself is one test
 * @property {() => readonly string[]} [failures]   names what failed, with the first line of why, from the same report
 * @property {string} [report]             file that `count` and `failures` read; removed before the stage runs
 * @property {RegExp} [show]               the output is long: it goes to .cache/reports/NAME.log, only these lines are shown
 * @property {number} minutes              the stage is ended after this time
 */

/** Sums a JSON report of vitest. A file that fails before its first test counts as one failure. */
export function vitestCounts(file) {
  if (!existsSync(file)) return undefined;
  const report = JSON.parse(readFileSync(file, 'utf8'));
  const broken = report.testResults.filter((f) => f.status === 'failed' && !f.assertionResults.some((a) => a.status === 'failed')).length;
  return {
    passed: report.numPassedTests,
    failed: report.numFailedTests + broken,
    skipped: report.numPendingTests + (report.numTodoTests ?? 0),
  };
}

/** The failed tests of a JSON report of vitest: file, test and the first line of the message. */
export function vitestFailures(file) {
  if (!existsSync(file)) return [];
  const report = JSON.parse(readFileSync(file, 'utf8'));
  return report.testResults
    .filter((f) => f.status === 'failed')
    .flatMap((f) => {
      const path = relative(root, f.name);
      const tests = f.assertionResults.filter((a) => a.status === 'failed');
      if (tests.length === 0) return [`${path}: ${firstLine(f.message)}`];
      return tests.map((a) => `${path} > ${[...a.ancestorTitles, a.title].join(' > ')}: ${firstLine(a.failureMessages[0])}`);
    });
}

/** The first line of a message, without the colours of terminals. */
function firstLine(message) {
  return stripVTControlCharacters(message ?? '').split('\n', 1)[0];
}

/** Sums the core and extended tests over the profiles of a report of the Gateway API conformance suite. */
export function conformanceCounts(file) {
  if (!existsSync(file)) return undefined;
  const counts = { passed: 0, failed: 0, skipped: 0 };
  for (const profile of parse(readFileSync(file, 'utf8')).profiles ?? []) {
    for (const level of [profile.core, profile.extended]) {
      counts.passed += level?.statistics?.Passed ?? 0;
      counts.failed += level?.statistics?.Failed ?? 0;
      counts.skipped += level?.statistics?.Skipped ?? 0;
    }
  }
  return counts;
}

/** The failed tests of a report of the Gateway API conformance suite, each with its profile. */
export function conformanceFailures(file) {
  if (!existsSync(file)) return [];
  const profiles = parse(readFileSync(file, 'utf8')).profiles ?? [];
  return profiles.flatMap((p) => [p.core, p.extended].flatMap((level) => (level?.failedTests ?? []).map((test) => `${p.name} > ${test}`)));
}

function vitest(project, stage) {
  const report = join(reports, `${project}.json`);
  return {
    command: ['vitest', 'run', '--project', project, '--reporter=default', '--reporter=json', `--outputFile.json=${report}`],
    report,
    count: () => vitestCounts(report),
    failures: () => vitestFailures(report),
    ...stage,
  };
}

/** Words of an environment variable, as extra arguments. */
function words(name) {
  return (process.env[name] ?? '').split(/\s+/).filter((word) => word !== '');
}

const lab = join(root, 'test', 'lab', 'lab');
const conformanceReport = join(reports, 'conformance.yaml');
const meshReport = join(reports, 'conformance-mesh.yaml');

/** PROFILES=MESH-HTTP,GATEWAY-TLS chooses; a single test (ARGS) that is not about the mesh leaves the mesh out. */
const profiles = (process.env.PROFILES || 'GATEWAY-HTTP,GATEWAY-GRPC,GATEWAY-TLS,GATEWAY-TCP,GATEWAY-UDP,MESH-HTTP,MESH-GRPC').split(',');
const oneTest = /-run-test[= ](\S+)/.exec(process.env.ARGS ?? '')?.[1];
const ofGateways = oneTest?.startsWith('Mesh') ? [] : profiles.filter((p) => p.startsWith('GATEWAY-'));
const ofMesh = oneTest !== undefined && !oneTest.startsWith('Mesh') ? [] : profiles.filter((p) => p.startsWith('MESH-'));
const implementation = [
  '-organization=kgateway-ts',
  '-project=kgateway-ts',
  `-version=v${settings.KGATEWAY_VERSION}`,
  '-url=https://github.com/kgateway-ts/kgateway',
  '-contact=@kgateway-ts/maintainers',
];

/** @type {readonly Stage[]} */
export const stages = [
  {
    name: 'envoy',
    groups: ['check', 'test', 'run', 'golden'],
    command: ['node', 'scripts/envoy.mjs'],
    sets: 'ENVOY_PATH',
    setup: true,
    minutes: 5,
  },

  { name: 'lock file', groups: ['check', 'test'], command: ['node', 'scripts/lock.mjs', '--check'], minutes: 1 },
  { name: 'types', groups: ['check', 'test'], command: ['tsc', '--noEmit'], minutes: 3 },
  { name: 'lint', groups: ['check', 'test'], command: ['oxlint', '--type-aware', '--deny-warnings'], minutes: 3 },
  { name: 'format', groups: ['check', 'test'], command: ['prettier', '--check', '--log-level', 'warn', '.'], minutes: 3 },
  { name: 'generated: xDS types', groups: ['check', 'test'], command: ['node', 'src/xds/proto/generate.ts', '--check'], minutes: 3 },
  {
    name: 'generated: Kubernetes types',
    groups: ['check', 'test'],
    command: ['node', 'src/kube/types/generate.ts', '--check'],
    minutes: 3,
  },
  { name: 'generated: CRDs', groups: ['check', 'test'], command: ['node', 'src/cmd/generate-crds.ts', '--check'], minutes: 3 },
  { name: 'generated: docs', groups: ['check', 'test'], command: ['node', 'src/cmd/generate-docs.ts', '--check'], minutes: 3 },
  vitest('unit', { name: 'unit', groups: ['check', 'test'], needs: ['envoy'], minutes: 5 }),

  { name: 'images', groups: ['test', 'images'], command: ['node', 'scripts/images.mjs'], needs: ['envoy'], setup: true, minutes: 5 },
  { name: 'lab', groups: ['test', 'lab'], command: [lab, 'kubeconfig'], sets: 'KUBECONFIG', setup: true, minutes: 30 },
  {
    name: 'install',
    groups: ['test', 'bench', 'install'],
    command: ['scripts/install.sh'],
    needs: ['lab', 'images'],
    setup: true,
    minutes: 5,
  },
  vitest('integration', { name: 'integration', groups: ['test'], needs: ['envoy', 'install'], minutes: 20 }),
  {
    name: 'conformance',
    groups: ofGateways.length > 0 ? ['test', 'conformance'] : [],
    needs: ['install'],
    command: [lab, 'conformance', 'kgateway', `-conformance-profiles=${ofGateways.join(',')}`, ...implementation, ...words('ARGS')],
    env: { LAB_REPORT: conformanceReport },
    report: conformanceReport,
    count: () => conformanceCounts(conformanceReport),
    failures: () => conformanceFailures(conformanceReport),
    show: /^\s*--- (PASS|FAIL|SKIP)|^(FAIL|panic)/,
    minutes: 40,
  },
  {
    name: 'conformance: mesh',
    groups: ofMesh.length > 0 ? ['test', 'conformance'] : [],
    needs: ['install'],
    command: ['test/mesh/conformance.sh', `-conformance-profiles=${ofMesh.join(',')}`, ...implementation, ...words('ARGS')],
    env: { LAB_REPORT: meshReport },
    report: meshReport,
    count: () => conformanceCounts(meshReport),
    failures: () => conformanceFailures(meshReport),
    show: /^\s*--- (PASS|FAIL|SKIP)|^(FAIL|panic)/,
    minutes: 10,
  },
  { name: 'bench', groups: ['bench'], needs: ['install'], command: ['node', 'bench/run.mjs', ...words('ARGS')], minutes: 40 },
];
