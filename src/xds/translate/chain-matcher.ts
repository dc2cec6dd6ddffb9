/** Matchers that choose a filter chain by its name. */
import { type Any, type TypeMatcherMatcher, type TypeMatcherMatcher_OnMatch as OnMatch, any } from '../proto/index.ts';

/** What is matched. */
export function input(typed_config: Any) {
  return { name: 'input', typed_config };
}

/** The chain of that name. */
export function chainNamed(value: string): OnMatch {
  return { action: { name: 'chain', typed_config: any('google.protobuf.StringValue', { value }) } };
}

/** Chains by value; there has to be one. */
export function exactly(of: Any, chains: readonly (readonly [value: string, chain: string])[]): TypeMatcherMatcher {
  const map = Object.fromEntries(chains.map(([value, chain]) => [value, chainNamed(chain)]));
  return { matcher_tree: { input: input(of), exact_match_map: { map } } };
}
