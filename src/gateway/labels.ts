import { ownValue } from '../ir/own-value.ts';
import type { LabelSelector } from '../kube/types/meta.ts';

/** Namespaces that somebody lets in (Gateway API: RouteNamespaces, ListenerNamespaces). */
export interface NamespacesFrom {
  readonly from?: string;
  readonly selector?: LabelSelector;
}

/** True when `namespace` is let in by an object in `own`. What `from` is without a value is up to the caller. */
export function letsIn(
  { from, selector }: NamespacesFrom,
  own: string,
  namespace: string,
  labelsOf: (namespace: string) => Readonly<Record<string, string>> | undefined,
): boolean {
  switch (from) {
    case 'All':
      return true;
    case 'Same':
      return namespace === own;
    case 'Selector':
      return selects(selector, labelsOf(namespace));
    default:
      return false;
  }
}

/** Evaluates a label selector (metav1.LabelSelector). An absent selector selects nothing, an empty one everything. */
export function selects(selector: LabelSelector | undefined, labels: Readonly<Record<string, string>> = {}): boolean {
  if (!selector) return false;
  for (const [key, value] of Object.entries(selector.matchLabels ?? {})) if (labels[key] !== value) return false;
  return (selector.matchExpressions ?? []).every(({ key, operator, values = [] }) => {
    const value = ownValue(labels, key);
    switch (operator) {
      case 'In':
        return value !== undefined && values.includes(value);
      case 'NotIn':
        return value === undefined || !values.includes(value);
      case 'Exists':
        return value !== undefined;
      case 'DoesNotExist':
        return value === undefined;
      default:
        return false;
    }
  });
}
