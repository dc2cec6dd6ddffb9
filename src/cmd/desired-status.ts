/** Reports of the translation, in the form that the status writer takes. */
import { controllerName } from '../gateway/conditions.ts';
import type { ConditionIntent, StatusReport } from '../ir/report.ts';
import { type Collection, type Graph, map } from '../krt/index.ts';
import { type Resource, resourceOf } from '../kube/resources.ts';
import { type DesiredStatus, type StatusShape, statusKey } from '../kube/status.ts';
import type { ParentReference } from '../kube/types/gateway-api.ts';

/** One desired status for each report. */
export function desiredStatuses(g: Graph, reports: Collection<StatusReport>): Collection<DesiredStatus> {
  return map(g, reports, { name: 'DesiredStatuses', key: (d: DesiredStatus) => d.key }, (_ctx, report) => {
    const { group, kind, namespace, name } = report.object;
    const resource: Resource | undefined = resourceOf(group, kind);
    if (!resource) throw new Error(`${group}/${kind} is not in the table of resources`);
    const object = namespace === '' ? name : `${namespace}/${name}`;
    return { key: statusKey(resource, object), resource, object, generation: report.generation, status: shapeOf(report) };
  });
}

function shapeOf(report: StatusReport): StatusShape {
  const ref = (r: Readonly<Record<string, unknown>>): ParentReference => r as unknown as ParentReference;
  switch (report.form) {
    case 'parents':
      return {
        kind: 'parents',
        controllerName,
        entries: report.entries.map((e) => ({ parentRef: ref(e.ref), conditions: [...e.conditions] })),
      };
    case 'ancestors':
      return {
        kind: 'ancestors',
        controllerName,
        entries: report.entries.map((e) => ({ ancestorRef: ref(e.ref), conditions: [...e.conditions] })),
      };
    case 'conditions':
      return {
        kind: 'conditions',
        owned: report.owned,
        conditions: report.conditions,
        ...(report.missing === true && { missing: true }),
      };
    case 'fields':
      return { kind: 'whole', status: report.fields };
    case 'whole':
      return { kind: 'whole', status: wholeStatus(report.conditions, report) };
  }
}

function wholeStatus(conditions: readonly ConditionIntent[], report: StatusReport & { form: 'whole' }): Record<string, unknown> {
  return { ...report.fields, conditions, ...(report.listeners && { listeners: report.listeners }) };
}
