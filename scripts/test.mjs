// Runs the stages of a target (scripts/stages.mjs) and what they need, goes on after one that fails, and ends with what failed
// and one line: N passed, N failed, N skipped.   node scripts/test.mjs TARGET
import { spawn } from 'node:child_process';
import { createWriteStream, mkdirSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join, relative } from 'node:path';
import { createInterface } from 'node:readline';
import { fail, reports, root, say } from './settings.mjs';
import { stages } from './stages.mjs';

const target = process.argv[2] ?? 'test';
const chosen = new Set();
const choose = (stage) => {
  for (const need of stage.needs ?? []) choose(stages.find((s) => s.name === need));
  chosen.add(stage);
};
stages.filter((stage) => stage.groups.includes(target)).forEach(choose);
if (chosen.size === 0) fail(`there is no target ${target}`, `choose from ${[...new Set(stages.flatMap((s) => s.groups))].join(', ')}`);

const labHome = process.env.LAB_HOME ?? join(homedir(), '.cache', 'lab');
const env = { ...process.env, PATH: [join(root, 'node_modules', '.bin'), join(labHome, 'bin'), process.env.PATH].join(delimiter) };
let running;

/** Ends the running stage with its children; they are a process group of their own. */
function end(signal) {
  try {
    if (running?.pid !== undefined) process.kill(-running.pid, signal);
  } catch {
    // It ended by itself.
  }
}
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.on(signal, () => {
    end(signal);
    process.exit(130);
  });
}

/** Runs one command to its end; answers with whether it succeeded and the last line of its stdout. */
async function execute(stage) {
  const [program, ...args] = stage.command;
  const piped = stage.show ? 'pipe' : 2;
  const child = spawn(program, args, {
    cwd: root,
    env: { ...env, ...stage.env },
    detached: true,
    stdio: ['ignore', stage.sets ? 'pipe' : piped, piped],
  });
  running = child;
  let last = '';
  const log = stage.show && createWriteStream(join(reports, `${stage.name}.log`));
  for (const stream of [child.stdout, child.stderr]) {
    if (!stream) continue;
    createInterface({ input: stream }).on('line', (line) => {
      last = line;
      log?.write(`${line}\n`);
      if (stage.show?.test(line)) say(line);
    });
  }
  const timer = setTimeout(() => {
    say(`${stage.name}: ended after ${stage.minutes} minutes`);
    end('SIGTERM');
    setTimeout(() => end('SIGKILL'), 5000).unref();
  }, stage.minutes * 60_000);
  const status = await new Promise((resolve) => {
    child.on('close', resolve);
    child.on('error', (error) => {
      say(`${program}: ${error.message}`);
      resolve(1);
    });
  });
  clearTimeout(timer);
  if (log) {
    log.end();
    if (status !== 0) say(`${stage.name}: all of its output is in ${relative(root, join(reports, `${stage.name}.log`))}`);
  }
  return { ok: status === 0, last };
}

/** What the stage counts for: its report, or itself as one test. A failure that no report shows is still one. */
function countsOf(stage, ok) {
  const counts = stage.count?.();
  if (!counts) return { passed: ok && !stage.setup ? 1 : 0, failed: ok ? 0 : 1, skipped: 0 };
  return ok || counts.failed > 0 ? counts : { ...counts, failed: 1 };
}

mkdirSync(reports, { recursive: true });
const results = [];
for (const stage of stages.filter((s) => chosen.has(s))) {
  const missing = (stage.needs ?? []).filter((need) => !results.some((r) => r.name === need && r.ok));
  if (missing.length > 0) {
    say(`\n== ${stage.name}: not run, ${missing.join(' and ')} failed`);
    results.push({ name: stage.name, ok: false, counts: { passed: 0, failed: 0, skipped: 1 }, failures: [], seconds: 0 });
    continue;
  }
  say(`\n== ${stage.name}: ${stage.command.map((word) => (word.startsWith(root) ? relative(root, word) : word)).join(' ')}`);
  if (stage.report) rmSync(stage.report, { force: true });
  const start = performance.now();
  const { ok, last } = await execute(stage);
  if (ok && stage.sets) env[stage.sets] = last;
  results.push({
    name: stage.name,
    ok,
    counts: countsOf(stage, ok),
    failures: stage.failures?.() ?? [],
    seconds: Math.round((performance.now() - start) / 1000),
  });
}

const total = { passed: 0, failed: 0, skipped: 0 };
say('');
for (const { name, ok, counts, seconds } of results) {
  for (const key of Object.keys(total)) total[key] += counts[key];
  const numbers = Object.entries(counts).map(([key, n]) => `${String(n).padStart(4)} ${key}`);
  say(`${ok ? 'ok    ' : 'FAILED'} ${name.padEnd(28)} ${numbers.join(' ')}  ${String(seconds).padStart(5)} s`);
}
// What failed is said again where it is read: right above the closing line, which may be all that is kept of a long run.
for (const { name, failures } of results) for (const failure of failures) say(`failed in ${name}: ${failure}`);
process.stdout.write(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped\n`);
process.exit(results.every((r) => r.ok) && total.failed === 0 ? 0 : 1);
