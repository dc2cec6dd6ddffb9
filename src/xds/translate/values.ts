import type { HeaderModifier, HeaderValue } from '../../ir/policy.ts';
import {
  ApiVersion,
  type CircuitBreakers,
  type ConfigSource,
  type Duration,
  type HeaderValueOption,
  HeaderValueOption_HeaderAppendAction as Append,
} from '../proto/index.ts';

/** A limit that is never reached. */
export const unlimited = { value: 0xffff_ffff };

/**
 * What a cluster has unless a policy limits it. Envoy's defaults would refuse the 1025th request at once, and repeat but three requests at a time when
 * a Pod goes: who puts a proxy in front of a service has asked for neither.
 */
export const noLimits: CircuitBreakers = {
  thresholds: [{ max_connections: unlimited, max_pending_requests: unlimited, max_requests: unlimited, max_retries: unlimited }],
};

/** What comes over the stream that everything comes over. */
export const overAds: ConfigSource = { ads: {}, resource_api_version: ApiVersion.V3 };

/** A google.protobuf.Duration. */
export function duration(ms: number): Duration {
  return { seconds: Math.floor(ms / 1000), nanos: Math.round((ms % 1000) * 1e6) };
}

/** Header changes in the order in which they were said: each modifier sets, then adds. */
export function headersToAdd(modifiers: readonly (HeaderModifier | undefined)[]): HeaderValueOption[] {
  return modifiers.flatMap((m) =>
    m
      ? [
          ...m.set.map((header) => option(header, Append.OVERWRITE_IF_EXISTS_OR_ADD)),
          ...m.add.map((header) => option(header, Append.APPEND_IF_EXISTS_OR_ADD)),
        ]
      : [],
  );
}

/** Headers to remove. */
export function headersToRemove(modifiers: readonly (HeaderModifier | undefined)[]): string[] {
  return modifiers.flatMap((m) => m?.remove ?? []);
}

function option({ name, value }: HeaderValue, append_action: HeaderValueOption['append_action']): HeaderValueOption {
  return { header: { key: name, value: typeof value === 'string' ? value : Buffer.from(value.reveal()).toString() }, append_action };
}
