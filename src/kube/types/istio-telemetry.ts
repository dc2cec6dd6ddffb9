// Istio's telemetry.istio.io/v1 Telemetry, and the part of MeshConfig that concerns access logs. Source: src/istio/proto (telemetry, mesh).
import type { KubeObject } from './meta.ts';
import type { PolicyScope } from './istio-security.ts';

interface ProviderRef {
  readonly name?: string;
}

export interface TelemetryAccessLogging {
  readonly match?: { readonly mode?: 'CLIENT_AND_SERVER' | 'CLIENT' | 'SERVER' };
  readonly providers?: readonly ProviderRef[];
  readonly disabled?: boolean;
  readonly filter?: { readonly expression?: string };
}

export interface TelemetryMetricsOverride {
  readonly match?: { readonly metric?: string; readonly customMetric?: string; readonly mode?: 'CLIENT_AND_SERVER' | 'CLIENT' | 'SERVER' };
  readonly disabled?: boolean;
  readonly tagOverrides?: Readonly<Record<string, { readonly operation?: 'UPSERT' | 'REMOVE'; readonly value?: string }>>;
}

export interface TelemetryMetrics {
  readonly providers?: readonly ProviderRef[];
  readonly overrides?: readonly TelemetryMetricsOverride[];
  readonly reportingInterval?: string;
}

export interface Telemetry extends KubeObject {
  readonly spec?: PolicyScope & {
    readonly accessLogging?: readonly TelemetryAccessLogging[];
    readonly metrics?: readonly TelemetryMetrics[];
    readonly tracing?: readonly object[];
  };
}

/** MeshConfig.ExtensionProvider.EnvoyFileAccessLogProvider. */
export interface EnvoyFileAccessLog {
  readonly path?: string;
  readonly logFormat?: { readonly text?: string; readonly labels?: Readonly<Record<string, unknown>> };
}
