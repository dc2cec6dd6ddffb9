import { describe, expect, test } from 'vitest';
import { deepMerge, mergeParameters } from './merge.ts';

describe('deepMerge', () => {
  test.each<[string, object, object | undefined, object]>([
    ['nothing over something', { a: 1 }, undefined, { a: 1 }],
    ['fields beside each other', { a: { b: 1 } }, { a: { c: 2 } }, { a: { b: 1, c: 2 } }],
    ['zero and false count', { a: 1, b: true }, { a: 0, b: false }, { a: 0, b: false }],
    ['null takes away', { a: 1, b: 2 }, { a: null }, { b: 2 }],
    ['undefined does not', { a: 1 }, { a: undefined }, { a: 1 }],
    ['lists are replaced', { a: [1, 2] }, { a: [3] }, { a: [3] }],
    ['an empty map changes nothing', { a: { b: 1 } }, { a: {} }, { a: { b: 1 } }],
  ])('%s', (_case, base, over, want) => {
    const before = structuredClone([base, over]);
    expect(deepMerge(base, over)).toEqual(want);
    expect([base, over]).toEqual(before);
  });
});

describe('mergeParameters: the Gateway over its class', () => {
  const replicas = (ofClass: number | undefined, ofGateway: number | null | undefined) =>
    mergeParameters(
      ofClass === undefined ? {} : { deployment: { replicas: ofClass } },
      ofGateway === undefined ? {} : { deployment: { replicas: ofGateway as number } },
    ).deployment?.replicas;

  test.each([
    [3, undefined, 3],
    [3, 5, 5],
    [3, 0, 0],
    [3, null, undefined],
    [undefined, undefined, undefined],
  ])('replicas %s and %s give %s', (ofClass, ofGateway, want) => {
    expect(replicas(ofClass, ofGateway)).toBe(want);
  });

  test('one of them alone is taken as it is', () => {
    const p = { service: { type: 'NodePort' as const } };
    expect(mergeParameters(p, undefined)).toBe(p);
    expect(mergeParameters(undefined, p)).toBe(p);
    expect(mergeParameters(undefined, undefined)).toEqual({});
  });

  const image = (i: object) => ({ envoyContainer: { image: i } });
  test.each([
    ['a tag replaces the digest of the class', { repository: 'r', digest: 'd' }, { tag: 't' }, { repository: 'r', tag: 't' }],
    ['a digest replaces the tag of the class', { tag: 't' }, { digest: 'd' }, { digest: 'd' }],
    ['another registry keeps them', { tag: 't' }, { registry: 'r' }, { tag: 't', registry: 'r' }],
  ])('%s', (_case, ofClass, ofGateway, want) => {
    expect(mergeParameters(image(ofClass), image(ofGateway)).envoyContainer?.image).toEqual(want);
  });

  test('environment, mounts and volumes are joined by name', () => {
    const merged = mergeParameters(
      {
        envoyContainer: {
          env: [
            { name: 'A', value: '1' },
            { name: 'B', value: '1' },
          ],
          extraVolumeMounts: [{ name: 'v', mountPath: '/v' }],
        },
        podTemplate: { extraVolumes: [{ name: 'v', emptyDir: {} }], tolerations: [{ key: 'a' }] },
      },
      {
        envoyContainer: { env: [{ name: 'B', value: '2' }] },
        podTemplate: { extraVolumes: [{ name: 'w', emptyDir: {} }], tolerations: [{ key: 'b' }] },
      },
    );
    expect(merged.envoyContainer?.env).toEqual([
      { name: 'A', value: '1' },
      { name: 'B', value: '2' },
    ]);
    expect(merged.envoyContainer?.extraVolumeMounts).toHaveLength(1);
    expect(merged.podTemplate?.extraVolumes?.map((v) => v.name)).toEqual(['v', 'w']);
    expect(merged.podTemplate?.tolerations).toEqual([{ key: 'b' }]);
  });
});
