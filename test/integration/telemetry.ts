/** What tests of telemetry have in common: Istio's `Telemetry`, and what a proxy tells. */
import { existsSync, readFileSync } from 'node:fs';
import type { LocalGateway } from './local.ts';

/** A Telemetry; its `spec` in YAML's flow style. */
export const telemetry = (name: string, spec: string, namespace = 'default'): string => `---
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: { name: ${name}, namespace: ${namespace} }
spec: ${spec}
`;

/** Our condition of a Telemetry, by `namespace/name`. */
export function conditionOf(gateway: Pick<LocalGateway, 'status'>, name: string): string {
  const status = gateway.status(`Telemetry ${name}`);
  const [found] = status?.form === 'conditions' ? status.conditions : [];
  return `${found?.status} ${found?.reason}: ${found?.message}`;
}

/** The lines of a file, none without it. */
export function linesOf(path: string): readonly string[] {
  if (!existsSync(path)) return [];
  return readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line !== '');
}

export interface Series {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** Readers of the metrics of a proxy. */
export function seriesOf(adminPort: () => number) {
  /** Labels and values of the time series with this name. */
  const series = async (name: string): Promise<readonly Series[]> => {
    const text = await (await fetch(`http://127.0.0.1:${adminPort()}/stats/prometheus?usedonly`)).text();
    return text.split('\n').flatMap((line) => {
      const [, found, labels = '', value] = /^(\w+)\{(.*)\} (\S+)$/.exec(line) ?? [];
      if (found !== name) return [];
      const pairs = [...labels.matchAll(/(\w+)="([^"]*)"/g)].map(([, k = '', v = '']) => [k, v]);
      return [{ labels: Object.fromEntries(pairs) as Record<string, string>, value: Number(value) }];
    });
  };
  /** The sum of those with these labels. */
  const counted = async (name: string, wanted: Readonly<Record<string, string>>): Promise<number> => {
    const matching = (await series(name)).filter(({ labels }) => Object.entries(wanted).every(([k, v]) => labels[k] === v));
    return matching.reduce((sum, s) => sum + s.value, 0);
  };
  return { series, counted };
}
