/** What stands for the local trust domain in policies, whatever it is called. */
const clusterLocal = 'cluster.local';

/**
 * A principal of a policy and what it means under the other names of the mesh: one of the local trust domain, or of an alias, holds for all of
 * them (Istio: trust domain migration). The result keeps the order: as written first.
 */
export function principalsWithAliases(
  principal: string,
  mesh: { readonly trustDomain: string; readonly trustDomainAliases: readonly string[] },
): readonly string[] {
  const slash = principal.indexOf('/');
  const written = principal.slice(0, slash);
  if (slash <= 0 || written === '*') return [principal];
  const domains = [mesh.trustDomain, ...mesh.trustDomainAliases];
  if (written !== clusterLocal && !domains.some((d) => covers(written, d))) return [principal];
  const rest = principal.slice(slash);
  // `cluster.local` only points to the local trust domain: it matches by that name when it has that name.
  const kept = written === clusterLocal && !domains.includes(clusterLocal) ? [] : [principal];
  return [...new Set([...kept, ...domains.filter((d) => !covers(written, d)).map((d) => `${d}${rest}`)])];
}

/** `*suffix` or exact. */
function covers(written: string, domain: string): boolean {
  return written.startsWith('*') ? domain.endsWith(written.slice(1)) : written === domain;
}
