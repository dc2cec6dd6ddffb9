import type { KubeObject } from '../kube/types/meta.ts';
import type { Problem } from './problem.ts';

/** The whole number of 32 bits in an annotation of an object; 0 without it, and, with a problem, for what is none. */
export function weightAnnotation({ metadata: { annotations } }: KubeObject, name: string, problems: Problem[]): number {
  const text = annotations?.[name];
  if (text === undefined) return 0;
  const value = /^[+-]?[0-9]{1,10}$/.test(text) ? Number(text) : Number.NaN;
  if (Math.abs(value) < 2 ** 31) return value;
  const message = `${JSON.stringify(text)} is not a whole number of 32 bits; write one such as "10"`;
  problems.push({ field: `metadata.annotations[${name}]`, message });
  return 0;
}
