import { type Logger, pino } from 'pino';

export type { Logger } from 'pino';

export const logLevels = ['debug', 'info', 'warn', 'error'] as const;

/** Log lines are JSON with the object as a field (`gateway`, `route`, ...). Values that could be secret are redacted here as a second line of defence. */
export function createLogger(level: string, destination: 1 | 2 = 1): Logger {
  return pino(
    {
      level,
      base: null,
      redact: {
        paths: ['authorization', '*.authorization', 'token', '*.token', 'data', '*.data', '*.privateKey', 'privateKey'],
        censor: '[redacted]',
      },
      formatters: { level: (label) => ({ level: label }) },
      timestamp: pino.stdTimeFunctions.isoTime,
    },
    pino.destination({ fd: destination, sync: false }),
  );
}
