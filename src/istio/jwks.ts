/**
 * A key that nobody has: Envoy refuses a set without a usable key, and what it refuses leaves the configuration before in force, which may
 * be open. A point of P-256 whose x is SHA-256 of 'a key that nobody has, 1', so that nobody knows a private key (jwks.test.ts derives it).
 */
export const nobodysKey = {
  kty: 'EC',
  crv: 'P-256',
  alg: 'ES256',
  kid: 'nobody',
  x: '0ruXdZ0amThfdtJPbVRsRCA38-61hV2HePzGbIVZ9XA',
  y: '-g2yT1upHCaMUa2tVgv7Np44pLiWDq8UT7ivZpI3xIE',
} as const;

/** A JWK Set as text that Envoy accepts, with the same tokens valid as before. Undefined for a text that is no JWK Set. */
export function usableKeySet(text: string): string | undefined {
  const keys = keysOf(text);
  return keys && JSON.stringify({ keys: [...keys.filter((k) => typeof k === 'object' && k !== null && !Array.isArray(k)), nobodysKey] });
}

/** The set that no token is valid under. */
export const nobodysKeySet: string = JSON.stringify({ keys: [nobodysKey] });

function keysOf(text: string): readonly unknown[] | undefined {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== 'object' || value === null || !('keys' in value) || !Array.isArray(value.keys)) return undefined;
    return value.keys as readonly unknown[];
  } catch {
    return undefined;
  }
}
