import type { Binding } from '../binding.ts';

/** Istiod's condition `istio.io/WaypointBound` for a binding; undefined: it writes none. */
export function conditionOf(
  binding: Binding | undefined,
): { readonly status: 'True' | 'False'; readonly reason: string; readonly message: string } | undefined {
  if (!binding || binding.state === 'none') return undefined;
  if (binding.state === 'refused') return { status: 'False', ...binding.problem };
  const failed = binding.canaryProblem ? `. Canary waypoint not attached: ${binding.canaryProblem.message}` : '';
  return { status: 'True', reason: 'WaypointAccepted', message: `Successfully attached to waypoint ${binding.waypoint}${failed}` };
}
