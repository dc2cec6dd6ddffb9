/** kgateway's annotations on routes: [annotations] -> what they say, and what is wrong with them. One that cannot be read has no effect. */
import type { KubeObject } from '../kube/types/meta.ts';
import type { Problem } from '../policy/problem.ts';
import { weightAnnotation } from '../policy/weight-annotation.ts';

/** Routes with a higher number are tried first, whatever their matches; 0 without it. Where the controller is set to (`KGW_WEIGHTED_ROUTE_PRECEDENCE`). */
export const routeWeightAnnotation = 'kgateway.dev/route-weight';

/** Status code of redirects: `"307"` for all of the route, or `"name=307,other=308"` by name of the rule. It comes before that of the filter. */
export const redirectStatusAnnotation = 'kgateway.dev/http-redirect-status-code';

const redirectCodes: ReadonlySet<string> = new Set(['301', '302', '303', '307', '308']);
const codes = [...redirectCodes].join(', ');

/** The annotations of a route. */
export interface RouteAnnotations {
  readonly weight: number;
  /** Status code of the redirects of a rule, by its name; `undefined` is every rule. */
  readonly redirectStatus: ReadonlyMap<string | undefined, number>;
  readonly problems: readonly Problem[];
}

/** Rules as far as annotations name them. */
interface NamedRule {
  readonly name?: string;
}

const none: RouteAnnotations = { weight: 0, redirectStatus: new Map(), problems: [] };

/** Reads the annotations. */
export function routeAnnotations(route: KubeObject, rules: readonly NamedRule[]): RouteAnnotations {
  const { annotations } = route.metadata;
  const redirect = annotations?.[redirectStatusAnnotation];
  if (annotations?.[routeWeightAnnotation] === undefined && redirect === undefined) return none;
  const problems: Problem[] = [];
  return {
    weight: weightAnnotation(route, routeWeightAnnotation, problems),
    redirectStatus: redirectStatusOf(redirect, new Set(rules.flatMap((r) => r.name ?? [])), problems),
    problems,
  };
}

function redirectStatusOf(
  text: string | undefined,
  names: ReadonlySet<string>,
  problems: Problem[],
): ReadonlyMap<string | undefined, number> {
  const found = new Map<string | undefined, number>();
  if (text === undefined) return found;
  const complain = (message: string): void => void problems.push({ field: `metadata.annotations[${redirectStatusAnnotation}]`, message });
  for (const entry of text.split(',').map((e) => e.trim())) {
    const [name, code] = entry.includes('=') ? entry.split('=', 2).map((part) => part.trim()) : [undefined, entry];
    if (code === undefined || !redirectCodes.has(code)) complain(`${JSON.stringify(entry)} has no status code of a redirect; use ${codes}`);
    else if (name !== undefined && !names.has(name)) complain(`no rule is named ${JSON.stringify(name)}; give one that name`);
    else found.set(name, Number(code));
  }
  return found;
}
