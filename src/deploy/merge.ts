// [built-in] <- [parameters of the class] <- [parameters of the Gateway]: the later one wins, field by field.
import type { KubeParameters } from './gatewayparameters.ts';

type Json = Readonly<Record<string, unknown>>;

function isMap(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * `over` on top of `base`: maps are merged key by key, everything else is replaced, absent fields keep the base. A null takes a field away.
 * An empty map keeps the base, zero and false replace it. Neither argument is changed.
 */
export function deepMerge<T extends object>(base: T, over: object | undefined): T {
  if (over === undefined) return base;
  const out: Record<string, unknown> = { ...(base as Json) };
  for (const [key, value] of Object.entries(over)) {
    if (value === undefined) continue;
    const before = out[key];
    if (value === null) delete out[key];
    else out[key] = isMap(before) && isMap(value) ? deepMerge(before, value) : value;
  }
  return out as T;
}

/**
 * The parameters of the class under those of the Gateway. Lists are replaced whole, except environment variables, volumes and their mounts,
 * which are joined by name so that a Gateway does not lose what its class needs. A digest takes the tag of the layers below away; a tag,
 * their digest. Null replicas leave the number to an autoscaler; zero is kept.
 */
export function mergeParameters(ofClass: KubeParameters | undefined, ofGateway: KubeParameters | undefined): KubeParameters {
  if (!ofClass) return ofGateway ?? {};
  if (!ofGateway) return ofClass;
  const merged = deepMerge(withoutReplacedVersion(ofClass, ofGateway), ofGateway);
  const container = (p: KubeParameters) => p.envoyContainer ?? {};
  const env = byName((e) => e.name, container(ofClass).env, container(ofGateway).env);
  const mounts = byName((m) => m.mountPath, container(ofClass).extraVolumeMounts, container(ofGateway).extraVolumeMounts);
  const volumes = byName((v) => v.name, ofClass.podTemplate?.extraVolumes, ofGateway.podTemplate?.extraVolumes);
  return {
    ...merged,
    ...((env ?? mounts) && {
      envoyContainer: { ...merged.envoyContainer, ...(env && { env }), ...(mounts && { extraVolumeMounts: mounts }) },
    }),
    ...(volumes && { podTemplate: { ...merged.podTemplate, extraVolumes: volumes } }),
  };
}

/** Later entries take the place of earlier ones of the same name. */
export function byName<T>(nameOf: (t: T) => string, ...lists: readonly (readonly T[] | undefined)[]): readonly T[] | undefined {
  const present = lists.filter((l) => l !== undefined);
  if (present.length === 0) return undefined;
  return [...new Map(present.flat().map((t) => [nameOf(t), t])).values()];
}

/** Tag and digest name the same thing: one of them in the Gateway's parameters replaces both of the class. */
function withoutReplacedVersion(base: KubeParameters, over: KubeParameters): KubeParameters {
  const image = over.envoyContainer?.image;
  if (!base.envoyContainer?.image || (image?.tag === undefined && image?.digest === undefined)) return base;
  const { tag: _tag, digest: _digest, ...rest } = base.envoyContainer.image;
  return { ...base, envoyContainer: { ...base.envoyContainer, image: rest } };
}
