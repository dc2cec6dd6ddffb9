/** Kubernetes quantity: a decimal number with a binary suffix, a decimal suffix or an exponent. */
export const quantityPattern =
  '^(\\+|-)?(([0-9]+(\\.[0-9]*)?)|(\\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\\+|-)?(([0-9]+(\\.[0-9]*)?)|(\\.[0-9]+))))?$';

const quantity = /^([+-]?)(?:([0-9]+)(?:\.([0-9]*))?|\.([0-9]+))(?:([KMGTPE]i)|([numkMGTPE])|[eE]([+-]?[0-9]{1,2}))?$/;
const binaryPower: Readonly<Record<string, bigint>> = { Ki: 10n, Mi: 20n, Gi: 30n, Ti: 40n, Pi: 50n, Ei: 60n };
const decimalPower: Readonly<Record<string, number>> = { n: -9, u: -6, m: -3, k: 3, M: 6, G: 9, T: 12, P: 15, E: 18 };

/**
 * The value of a Kubernetes quantity (`1Mi`, `1.5G`, `100m`, `2e3`, 4096), rounded up to a whole number as `Quantity.Value()` does;
 * undefined when it is not one. Above 2^53 the result is approximate.
 */
export function quantityValue(text: string | number): number | undefined {
  const match = quantity.exec(String(text));
  if (!match) return undefined;
  const [, sign, whole = '', fraction = '', bareFraction = '', binary, decimal, exponent] = match;
  const digits = fraction + bareFraction;
  let numerator = BigInt(whole + digits) * (binary ? 1n << (binaryPower[binary] ?? 0n) : 1n);
  const power = (decimal ? (decimalPower[decimal] ?? 0) : Number(exponent ?? 0)) - digits.length;
  if (power >= 0) numerator *= 10n ** BigInt(power);
  const denominator = power < 0 ? 10n ** BigInt(-power) : 1n;
  if (sign === '-') return -Number(numerator / denominator) || 0;
  return Number((numerator + denominator - 1n) / denominator);
}
