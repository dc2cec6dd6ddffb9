/** One line of a watch is one event; etcd refuses objects above a few MiB, so a line of this size means that it is no watch. */
const maxLineBytes = 64 << 20;

/**
 * Cuts a byte stream into lines and calls `onLine` with each one's text, without the newline; empty lines are dropped. Bytes of a line that
 * spans chunks are joined once, when its end arrives, so a large object costs no quadratic copying and no character is torn.
 * @throws when a line exceeds 64 MiB.
 */
export function lineSplitter(onLine: (line: string) => void): (chunk: Buffer) => void {
  let pending: Buffer[] = [];
  let pendingBytes = 0;
  return (chunk) => {
    let start = 0;
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, start)) {
      if (pendingBytes > 0) {
        pending.push(chunk.subarray(start, end));
        const line = Buffer.concat(pending).toString('utf8');
        pending = [];
        pendingBytes = 0;
        onLine(line);
      } else if (end > start) {
        onLine(chunk.toString('utf8', start, end));
      }
      start = end + 1;
    }
    if (start < chunk.length) {
      pending.push(start === 0 ? chunk : chunk.subarray(start));
      pendingBytes += chunk.length - start;
      if (pendingBytes > maxLineBytes) throw new Error('A line of more than 64 MiB: this is not a watch stream.');
    }
  };
}
