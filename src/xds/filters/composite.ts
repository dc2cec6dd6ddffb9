/**
 * A filter whose configuration a scope replaces whole.
 *
 * Some filters can only choose on a route among settings of the listener. Such a one stands in a composite filter, whose content a route does
 * replace: so what a scope needs changes no listener.
 */
import { type Any, any } from '../proto/index.ts';
import type { PolicyFilter, ScopeSecurity } from './order.ts';

const skip = any('envoy.extensions.filters.common.matcher.action.v3.SkipFilter', {});

/** Called `name` in the chain; where `forScope` gives a configuration it is Envoy's filter `filterName`. */
export function compositeFilter(name: string, filterName: string, forScope: (security: ScopeSecurity) => Any | undefined): PolicyFilter {
  return {
    name,
    chain: any('envoy.extensions.common.matching.v3.ExtensionWithMatcher', {
      extension_config: {
        name: 'composite',
        typed_config: any('envoy.extensions.filters.http.composite.v3.Composite', {}),
      },
      xds_matcher: { on_no_match: { action: { name: 'skip', typed_config: skip } } },
    }),
    forScope: (security) => {
      const config = forScope(security);
      return config && execute(filterName, config);
    },
  };
}

/** What a composite filter is to be, whatever the request: configuration of a scope or route. */
export function execute(name: string, config: Any): Any {
  const action = any('envoy.extensions.filters.http.composite.v3.ExecuteFilterAction', { typed_config: { name, typed_config: config } });
  return any('envoy.extensions.common.matching.v3.ExtensionWithMatcherPerRoute', {
    xds_matcher: { on_no_match: { action: { name: 'execute', typed_config: action } } },
  });
}
