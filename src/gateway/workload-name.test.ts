import { expect, test } from 'vitest';
import { workloadOf } from './endpoints.ts';

test.each([
  ['echo-7d4b9c8f6d-x2x5k', 'echo'],
  ['echo-v1-7d4b9c8f6d-x2x5k', 'echo-v1'],
  ['node-exporter-zz7k2', 'node-exporter'],
  ['postgres-0', 'postgres'],
  ['shell', 'shell'],
  ['my-shell', 'my-shell'],
])('the Pod %s is of %s', (pod, workload) => {
  expect(workloadOf(pod)).toBe(workload);
});
