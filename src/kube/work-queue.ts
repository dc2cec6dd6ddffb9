import { backoffMillis } from './backoff.ts';

export interface WorkQueueOptions {
  /** Keys worked on at once. */
  readonly concurrency: number;
  /** Work per second on average, and at most at once. */
  readonly rate: number;
  readonly burst: number;
  readonly backoff?: { readonly first: number; readonly max: number };
  /** Asked when a key's turn comes: false drops it, at no cost to the rate. */
  readonly needed?: (key: string) => boolean;
  /** Milliseconds from the beginning of one work on a key to that of the next: an object that changes with many others is written once for many. */
  readonly spacing?: (key: string) => number;
  /** Called with each failure; the key is tried again later. */
  readonly onError?: (key: string, error: unknown) => void;
  /** Milliseconds of a monotonic clock. */
  readonly now?: () => number;
}

/** Keys that need work: each is worked on by one at a time, and adding a key that waits changes nothing. */
export interface WorkQueue {
  add(key: string): void;
  /** Forgets a key that waits, and its failures. */
  forget(key: string): void;
  /** Forgets all that waits; resolves when what runs is done. Nothing is accepted afterwards. */
  stop(): Promise<void>;
  /** Keys that wait or run. */
  readonly size: number;
  /** Resolves when nothing waits and nothing runs. */
  idle(): Promise<void>;
}

/** A queue that calls `work` for each key added since its last call began; a rejection is retried with a growing delay. */
export function workQueue(work: (key: string) => Promise<void>, o: WorkQueueOptions): WorkQueue {
  const now = o.now ?? (() => performance.now());
  const waiting = new Set<string>();
  const running = new Map<string, Promise<void>>();
  /** Added while it ran. */
  const again = new Set<string>();
  const failures = new Map<string, number>();
  const retries = new Map<string, NodeJS.Timeout>();
  /** When work on a key with spacing last began, and the timers of those that wait for their distance. */
  const startedAt = new Map<string, number>();
  const spaced = new Map<string, NodeJS.Timeout>();
  let idlers: (() => void)[] = [];
  let tokens = o.burst;
  let filledAt = now();
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;

  const settle = (): void => {
    if (waiting.size + running.size + retries.size + spaced.size > 0) return;
    for (const resolve of idlers.splice(0)) resolve();
  };

  const next = (): void => {
    const t = now();
    tokens = Math.min(o.burst, tokens + ((t - filledAt) * o.rate) / 1000);
    filledAt = t;
    for (const key of waiting) {
      if (running.size >= o.concurrency) return;
      if (tokens < 1) {
        timer ??= setTimeout(
          () => {
            timer = undefined;
            next();
          },
          Math.ceil(((1 - tokens) * 1000) / o.rate),
        );
        return;
      }
      waiting.delete(key);
      if (o.needed?.(key) === false) continue;
      tokens--;
      if (o.spacing && o.spacing(key) > 0) startedAt.set(key, t);
      running.set(key, run(key));
    }
    settle();
  };

  const run = async (key: string): Promise<void> => {
    try {
      await work(key);
      failures.delete(key);
    } catch (error) {
      o.onError?.(key, error);
      if (!stopped) later(key);
    }
    running.delete(key);
    if (again.delete(key) && !stopped) me.add(key);
    next();
  };

  const later = (key: string): void => {
    const n = (failures.get(key) ?? 0) + 1;
    failures.set(key, n);
    const delay = backoffMillis(n, o.backoff?.first ?? 100, o.backoff?.max ?? 60_000);
    retries.set(
      key,
      setTimeout(() => {
        retries.delete(key);
        me.add(key);
      }, delay),
    );
  };

  /** Milliseconds until work on the key may begin again. */
  const distance = (key: string): number => {
    const started = startedAt.get(key);
    return started === undefined || !o.spacing ? 0 : started + o.spacing(key) - now();
  };

  const me: WorkQueue = {
    add(key) {
      if (stopped) return;
      if (running.has(key)) {
        again.add(key);
        return;
      }
      // New work on a key that failed waits for its turn: what failed may be the API server.
      if (retries.has(key) || spaced.has(key)) return;
      const wait = distance(key);
      if (wait > 0) {
        spaced.set(
          key,
          setTimeout(() => {
            spaced.delete(key);
            waiting.add(key);
            next();
          }, wait),
        );
        return;
      }
      waiting.add(key);
      next();
    },
    forget(key) {
      waiting.delete(key);
      again.delete(key);
      failures.delete(key);
      clearTimeout(retries.get(key));
      retries.delete(key);
      clearTimeout(spaced.get(key));
      spaced.delete(key);
      startedAt.delete(key);
      settle();
    },
    async stop() {
      stopped = true;
      clearTimeout(timer);
      for (const retry of retries.values()) clearTimeout(retry);
      retries.clear();
      for (const timer of spaced.values()) clearTimeout(timer);
      spaced.clear();
      waiting.clear();
      again.clear();
      await Promise.all(running.values());
      settle();
    },
    get size() {
      return waiting.size + running.size + retries.size + spaced.size;
    },
    idle() {
      return new Promise((resolve) => {
        idlers.push(resolve);
        settle();
      });
    },
  };
  return me;
}
