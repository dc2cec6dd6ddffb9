/** [AccessLog] -> Envoy's access logger. */
import type { AccessLog as Log } from '../../ir/telemetry.ts';
import { type AccessLog, type AccessLogFilter, any } from '../proto/index.ts';

/** Writes lines to a file of the proxy. */
export function fileAccessLog({ path, format, filter }: Log): AccessLog {
  return {
    name: 'envoy.access_loggers.file',
    ...(filter !== undefined && { filter: celFilter(filter) }),
    typed_config: any('envoy.extensions.access_loggers.file.v3.FileAccessLog', {
      path,
      log_format:
        'text' in format
          ? { text_format_source: { inline_string: format.text } }
          : { json_format: { fields: Object.fromEntries(Object.entries(format.json).map(([k, v]) => [k, { string_value: v }])) } },
    }),
  };
}

/** Lets through what the expression is true for; what it fails for is not. */
export function celFilter(expression: string): AccessLogFilter {
  return {
    extension_filter: {
      name: 'envoy.access_loggers.extension_filters.cel',
      typed_config: any('envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter', { expression }),
    },
  };
}
