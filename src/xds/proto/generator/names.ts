// [proto full names] -> [TypeScript names]: one flat file has no packages, so a short name must be unique in the whole API.

/** Packages that never take part: superseded API versions and test fixtures. */
const ignored = /(^|\.)(v2|v2alpha\d?|conformance|compiler)(\.|$)|^envoy\.(api|annotations)\.|^envoy\.type(\.(matcher|metadata|tracing))?$/;
/** On a clash these keep the short name, in this order: the core API is what people mean by Route or Metadata. */
const preferred = [/^envoy\.config\./, /^envoy\.type\./, /^envoy\.service\.discovery\./, /^google\.protobuf$/, /^google\.rpc$/];

const pascal = (segment: string): string => segment.replaceAll(/(?:^|_)([a-z0-9])/gi, (_, letter: string) => letter.toUpperCase());

/** `package` segments without versions, innermost first. */
function segmentsOf(packageName: string): readonly string[] {
  return packageName
    .split('.')
    .filter((s) => !/^v\d/.test(s))
    .toReversed();
}

/**
 * TypeScript names of all top-level declarations and those nested in them (`Cluster.DiscoveryType` is `Cluster_DiscoveryType`).
 * The names depend on the API version alone, not on the roots, so that adding a root renames nothing. On a clash the package's last
 * segments that tell them apart come first: `NetworkRbacRBAC`.
 */
export function typeScriptNames(fullNames: readonly string[]): ReadonlyMap<string, string> {
  const split = fullNames.map((fullName) => {
    // In this API packages are lower case and declarations start with a capital.
    const segments = fullName.split('.');
    const at = segments.findIndex((s) => /^[A-Z]/.test(s));
    return { fullName, packageName: segments.slice(0, at).join('.'), path: segments.slice(at) };
  });
  const packagesOf = new Map<string, string[]>();
  for (const { packageName, path } of split) {
    if (path.length !== 1 || ignored.test(packageName)) continue;
    const name = path[0] as string;
    packagesOf.set(name, [...(packagesOf.get(name) ?? []), packageName]);
  }
  const prefixOf = (name: string, packageName: string): string => {
    const rivals = packagesOf.get(name) ?? [];
    if (rivals.length < 2) return '';
    for (const pattern of preferred) {
      const winners = rivals.filter((p) => pattern.test(p));
      if (winners.length === 1 && winners[0] === packageName) return '';
      if (winners.length > 0) break;
    }
    const own = segmentsOf(packageName);
    const others = rivals.filter((p) => p !== packageName).map(segmentsOf);
    for (let n = 1; n <= own.length; n++) {
      const suffix = own.slice(0, n).join('.');
      const prefix = own.slice(0, n).toReversed().map(pascal).join('');
      // listener.v3 has both Filter and ListenerFilter: a prefixed name must not be another type's short name either.
      if (!packagesOf.has(prefix + name) && others.every((o) => o.slice(0, n).join('.') !== suffix)) return prefix;
    }
    return segmentsOf(packageName)
      .toReversed()
      .concat(packageName.split('.').at(-1) ?? '')
      .map(pascal)
      .join('');
  };
  const names = new Map<string, string>();
  const taken = new Map<string, string>();
  for (const { fullName, packageName, path } of split) {
    if (ignored.test(packageName)) continue;
    const name = prefixOf(path[0] as string, packageName) + path.join('_');
    const other = taken.get(name);
    if (other !== undefined) throw new Error(`${fullName} and ${other} would both be called ${name} in types.ts`);
    taken.set(name, fullName);
    names.set(fullName, name);
  }
  return names;
}
