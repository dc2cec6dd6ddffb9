import { expect, test } from 'vitest';
import { selects } from './labels.ts';

const labels = { team: 'blue', env: 'test' };

test.each([
  [undefined, false],
  [{}, true],
  [{ matchLabels: { team: 'blue' } }, true],
  [{ matchLabels: { team: 'blue', env: 'prod' } }, false],
  [{ matchExpressions: [{ key: 'team', operator: 'In', values: ['red', 'blue'] }] }, true],
  [{ matchExpressions: [{ key: 'gone', operator: 'In', values: ['red'] }] }, false],
  [{ matchExpressions: [{ key: 'gone', operator: 'NotIn', values: ['red'] }] }, true],
  [{ matchExpressions: [{ key: 'team', operator: 'NotIn', values: ['blue'] }] }, false],
  [{ matchExpressions: [{ key: 'team', operator: 'Exists' }] }, true],
  [{ matchExpressions: [{ key: 'team', operator: 'DoesNotExist' }] }, false],
  [{ matchExpressions: [{ key: 'constructor', operator: 'Exists' }] }, false],
  [{ matchLabels: { team: 'blue' }, matchExpressions: [{ key: 'gone', operator: 'Exists' }] }, false],
  [{ matchExpressions: [{ key: 'team', operator: 'Near', values: ['blue'] }] }, false],
])('%j: %j', (selector, expected) => {
  expect(selects(selector, labels)).toBe(expected);
});

test('labels that are not there', () => {
  expect(selects({ matchLabels: { team: 'blue' } }, undefined)).toBe(false);
});
