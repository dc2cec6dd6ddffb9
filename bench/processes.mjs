// CPU and memory of running programs, from /proc; containers of the lab are processes of this machine.
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';

const ticksPerSecond = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));

function read(pid, file) {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    return ''; // it ended meanwhile
  }
}

/** Fields of /proc/PID/stat from the third on: the second is the name, in parentheses, and may hold spaces. */
function stat(pid) {
  const text = read(pid, 'stat');
  return text.slice(text.lastIndexOf(')') + 2).split(' ');
}

/** This process and its ancestors: their command lines hold the pattern too. */
function ownPids() {
  const pids = new Set();
  for (let pid = process.pid; pid > 1; pid = Number(stat(pid)[1])) pids.add(pid);
  return pids;
}

/** Processes whose command line holds `pattern` and, if given, whose environment holds `environment`. */
export function processes(pattern, environment = '') {
  const own = ownPids();
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 0 && !own.has(pid))
    .filter((pid) => read(pid, 'cmdline').replaceAll('\0', ' ').includes(pattern) && read(pid, 'environ').includes(environment));
}

/** CPU seconds since their start and resident megabytes of the processes together; undefined when there is none. */
export function usage(pids) {
  if (pids.length === 0) return undefined;
  const sum = (of) => pids.reduce((total, pid) => total + of(pid), 0);
  return {
    cpuSeconds: sum((pid) => (Number(stat(pid)[11] ?? 0) + Number(stat(pid)[12] ?? 0)) / ticksPerSecond),
    rssMegabytes: Math.round(sum((pid) => Number(read(pid, 'status').match(/VmRSS:\s+(\d+)/)?.[1] ?? 0) / 1024)),
  };
}
