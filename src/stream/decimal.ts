/**
 * An exact decimal as Postgres's `numeric` is one: `unscaled / 10^scale`. The scale is part of the value (`1.50` has two
 * digits behind the point), because Postgres's own sums keep it.
 */
export interface Decimal {
  readonly unscaled: bigint;
  /** Digits behind the point, 0 or more. */
  readonly scale: number;
}

const form = /^([+-]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d+))?$/;

/** Reads a decimal's text; null for anything else, `NaN` and `Infinity` too. */
export function parseDecimal(text: string): Decimal | null {
  const match = form.exec(text);
  if (match === null) return null;
  const [, sign = '', whole = '', fraction = '', exponent = '0'] = match;
  if (whole === '' && fraction === '') return null;
  const scale = fraction.length - Number(exponent);
  const digits = BigInt(`${whole}${fraction}`) * (sign === '-' ? -1n : 1n);
  return scale >= 0 ? { unscaled: digits, scale } : { unscaled: digits * 10n ** BigInt(-scale), scale: 0 };
}

export function formatDecimal({ unscaled, scale }: Decimal): string {
  const negative = unscaled < 0n;
  const digits = (negative ? -unscaled : unscaled).toString().padStart(scale + 1, '0');
  const whole = digits.slice(0, digits.length - scale);
  return `${negative ? '-' : ''}${whole}${scale === 0 ? '' : `.${digits.slice(-scale)}`}`;
}

/** The unscaled value at another scale; digits are cut only where the scale shrinks. */
export function rescale({ unscaled, scale }: Decimal, to: number): bigint {
  return to >= scale ? unscaled * 10n ** BigInt(to - scale) : unscaled / 10n ** BigInt(scale - to);
}

/** `a / b` with `scale` digits behind the point, rounded half away from zero as Postgres rounds. `b` is not zero. */
export function divide(a: Decimal, b: bigint, scale: number): Decimal {
  const numerator = rescale(a, Math.max(a.scale, scale + 1));
  const divisor = b * 10n ** BigInt(Math.max(a.scale, scale + 1) - scale);
  const doubled = numerator * 2n;
  const away = (doubled < 0n) === (divisor < 0n) ? divisor : -divisor;
  return { unscaled: (doubled + away) / (divisor * 2n), scale };
}
