/**
 * A function of an object that never changes, with what it came to for as long as the object lives: what was made of a policy once is not made again
 * when something beside it changes.
 */
export function remembered<K extends object, V>(make: (of: K) => V): (of: K) => V {
  const made = new WeakMap<K, { readonly value: V }>();
  return (of) => {
    let found = made.get(of);
    if (!found) made.set(of, (found = { value: make(of) }));
    return found.value;
  };
}
