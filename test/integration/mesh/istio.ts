// istiod in the cluster of the tests: installed once when it is missing, and left there.
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { vi } from 'vitest';
import type { KubeClient } from '../../../src/kube/client.ts';
import { Deployments } from '../../../src/kube/resources.ts';

/** Resolves when istiod is ready. @throws when it cannot be installed; the message is istioctl's. */
export async function ensureIstio(client: KubeClient): Promise<void> {
  if (!(await client.get(Deployments, 'istio-system/istiod'))) {
    await promisify(execFile)(join(import.meta.dirname, '../../lab/lab'), ['istio'], { timeout: 150_000 });
  }
  await vi.waitFor(
    async () => {
      const istiod = await client.get(Deployments, 'istio-system/istiod');
      if (!istiod?.status?.readyReplicas) throw new Error('istiod is not ready');
    },
    { timeout: 100_000, interval: 500 },
  );
}
