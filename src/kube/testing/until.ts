/** Resolves once `condition` holds, looking again after every turn of the event loop. @throws after `timeout` ms, saying what was awaited. */
export async function until(condition: () => unknown, what: string, timeout = 4000): Promise<void> {
  const deadline = performance.now() + timeout;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`timed out waiting until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}
