import type { Cidr, TextMatch } from '../ir/authorization.ts';
import ipaddr from 'ipaddr.js';

/** Istio's string match: `*` at one end, or alone. Source: Istio, AuthorizationPolicy, Rule. */
export function textMatch(value: string): TextMatch {
  if (value === '*') return { type: 'present' };
  if (value.startsWith('*')) return { type: 'suffix', value: value.slice(1) };
  if (value.endsWith('*')) return { type: 'prefix', value: value.slice(0, -1) };
  return { type: 'exact', value };
}

/** An address or a range; undefined for anything else. */
export function parseCidr(text: string): Cidr | undefined {
  const [address = '', bits, ...rest] = text.split('/');
  if (
    rest.length > 0 ||
    address.includes('%') ||
    !ipaddr.isValid(address) ||
    (ipaddr.IPv4.isValid(address) && !ipaddr.IPv4.isValidFourPartDecimal(address))
  ) {
    return undefined;
  }
  const max = ipaddr.parse(address).kind() === 'ipv4' ? 32 : 128;
  if (bits === undefined) return { address, bits: max };
  return /^\d{1,3}$/.test(bits) && Number(bits) <= max ? { address, bits: Number(bits) } : undefined;
}

/**
 * Whether a path holds template operators, and whether it may: segments are literal or exactly `{*}` or `{**}`, the latter last
 * (Istio: Operation.paths).
 */
export function pathTemplateOf(path: string): 'plain' | 'template' | 'invalid' {
  if (!path.includes('{*}') && !path.includes('{**}')) return 'plain';
  if (!path.startsWith('/')) return 'invalid';
  let open = false;
  const segments = path.slice(1).split('/');
  // Envoy 1.40 does not refuse other templates, it ends: an empty segment, or a character that a path cannot have.
  if (segments.slice(0, -1).includes('') || !/^[\w\-.~!$&'()+,;:@=%/{*}]+$/.test(path)) return 'invalid';
  for (const segment of segments) {
    const operator = segment === '{*}' || segment === '{**}';
    if ((operator && open) || (!operator && /[*{}]/.test(segment))) return 'invalid';
    if (segment === '{**}') open = true;
  }
  return 'template';
}
