import { describe, expect, test } from 'vitest';
import { routeSubject } from './backendref.ts';

describe('without a grant', () => {
  const service = { group: '', kind: 'Service', name: 'echo', namespace: 'demo' };

  test('a consumer route leads back to the Services that are its parents', () => {
    expect(routeSubject('HTTPRoute', 'client', [service]).services).toEqual(['demo/echo']);
  });

  test('with a Gateway among its parents it does not: that would open the Service to others', () => {
    expect(routeSubject('HTTPRoute', 'client', [service, { name: 'gw' }]).services).toBeUndefined();
    expect(routeSubject('HTTPRoute', 'client').services).toBeUndefined();
  });
});
