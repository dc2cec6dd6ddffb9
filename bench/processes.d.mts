export function processes(pattern: string, environment?: string): readonly number[];
export function usage(pids: readonly number[]): { readonly cpuSeconds: number; readonly rssMegabytes: number } | undefined;
