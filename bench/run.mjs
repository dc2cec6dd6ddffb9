// `make bench`: the route probe with 0, 1000 and 4000 other routes, then the micro-benchmarks. Prints a Markdown table with date and machine;
// --save also writes it to bench/baseline.md. Other arguments go to bench/probe.mjs.
// --waypoint instead: waypoints with 2,000 and 10,000 Services, and their throughput; numbers after it are other counts of Services.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { join } from 'node:path';

const args = process.argv.slice(2).filter((arg) => arg !== '--save');
const save = args.length < process.argv.length - 2;
const node = (file, extra, stdout) =>
  spawnSync(process.execPath, [join(import.meta.dirname, file), ...extra], { encoding: 'utf8', stdio: ['ignore', stdout, 'inherit'] });

if (args.includes('--waypoint')) {
  const sizes = args.filter((arg) => /^\d+$/.test(arg));
  const steps = [['throughput.ts'], ['throughput.ts', '--no-metrics'], ['waypoint.ts', ...sizes]];
  process.exit(steps.every(([file, ...extra]) => node(file, extra, 'inherit').status === 0) ? 0 : 1);
}

let failed = false;
const rows = [];
for (const [preload, services] of [
  ['0', '1'],
  ['1000', '1000'],
  ['4000', '1'],
]) {
  const { status, stdout } = node('probe.mjs', ['--preload', preload, '--services', services, ...args], 'pipe');
  if (status === 0) rows.push(JSON.parse(stdout));
  else failed = true;
}

const lines = [
  `${new Date().toISOString().slice(0, 10)}, ${cpus().length} x ${cpus()[0].model.trim()}, ${Math.round(totalmem() / 2 ** 30)} GB, Node ${process.version}`,
  '',
];
if (rows.length > 0) {
  const columns = Object.keys(rows[0]);
  lines.push(`| ${columns.join(' | ')} |`, `| ${columns.map(() => '---').join(' | ')} |`);
  for (const row of rows) lines.push(`| ${columns.map((column) => row[column] ?? '-').join(' | ')} |`);
}
process.stdout.write(`${lines.join('\n')}\n\n`);
if (save) {
  const file = join(import.meta.dirname, 'baseline.md');
  // What other benches say stays.
  const [, others = ''] = /\n(## [^]*)/.exec(readFileSync(file, 'utf8')) ?? [];
  writeFileSync(file, `# Baseline of make bench\n\n${lines.join('\n')}\n${others && `\n${others}`}`);
}

for (const file of ['krt.bench.ts', 'translate.bench.ts']) {
  if (!existsSync(join(import.meta.dirname, file))) continue;
  process.stdout.write(`${file}\n`);
  failed = node(file, [], 'inherit').status !== 0 || failed;
}
process.exit(failed ? 1 : 0);
