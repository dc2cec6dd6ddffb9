/**
 * Names an object of the user, for reports, rejections and logs. `section` is a listener name, a rule name or a field path.
 */
export interface ObjectRef {
  readonly group: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly section?: string;
}

/** `Kind namespace/name`, with the section behind a `#`: the form in which messages name objects. */
export function describeRef(ref: ObjectRef): string {
  const object = ref.namespace ? `${ref.namespace}/${ref.name}` : ref.name;
  return `${ref.kind} ${object}${ref.section ? `#${ref.section}` : ''}`;
}

/** A string unique to the object (and section), for use as a collection key. */
export function refKey(ref: ObjectRef): string {
  const base = `${ref.group}/${ref.kind}/${ref.namespace}/${ref.name}`;
  return ref.section === undefined ? base : `${base}/${ref.section}`;
}

/** `Kind/namespace/name`: what a Service or ServiceEntry is called, whose groups nobody mixes up. */
export function serviceKey({ kind, namespace, name }: Pick<ObjectRef, 'kind' | 'namespace' | 'name'>): string {
  return `${kind}/${namespace}/${name}`;
}
