/** Milliseconds to wait after the n-th failure in a row: about `first` once, then 0.8 s doubled up to `max`, each with half of it at random. */
export function backoffMillis(n: number, first: number, max: number, random: () => number = Math.random): number {
  if (n <= 0) return 0;
  const full = n === 1 ? first : Math.min(max, first * 8 * 2 ** Math.min(n - 2, 20));
  return full / 2 + (full / 2) * random();
}

/** Resolves after `ms`, or at once when aborted. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted || ms <= 0) {
      resolve();
      return;
    }
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done);
  });
}
