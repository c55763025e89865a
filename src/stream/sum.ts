import { formatDecimal, parseDecimal, type Decimal } from './decimal.ts';

/**
 * A sum from which each part can be taken away again, with nothing left of it: floats are added up as the binary fractions that
 * they are, not as floats, and the scale of a decimal sum is that of the parts which are still in it. Plain data.
 */
export interface SumState {
  /** What the parts are; null before the first. */
  readonly of: 'number' | 'bigint' | 'decimal' | null;
  /** Parts that are numbers at all. */
  readonly count: number;
  /** Of finite parts: times 10^scale for decimals, times 2^1074 for numbers. */
  readonly total: bigint;
  readonly scale: number;
  /** How many parts of each scale are in it, by scale. */
  readonly scales: Readonly<Record<string, number>>;
  readonly nan: number;
  readonly positive: number;
  readonly negative: number;
}

export function newSum(): SumState {
  return { of: null, count: 0, total: 0n, scale: 0, scales: {}, nan: 0, positive: 0, negative: 0 };
}

export function addTo(state: SumState, part: number | bigint | string | null | undefined, times: number): SumState {
  if (part === null || part === undefined) return state;
  const of = kindOf(part);
  if (state.of !== null && state.of !== of) throw new TypeError(`a sum of ${state.of}s got a ${of}`);
  const special = String(part);
  const next: SumState = { ...state, of, count: state.count + times };
  if (special === 'NaN') return { ...next, nan: state.nan + times };
  if (special === 'Infinity') return { ...next, positive: state.positive + times };
  if (special === '-Infinity') return { ...next, negative: state.negative + times };
  if (typeof part === 'bigint') return { ...next, total: state.total + part * BigInt(times) };
  if (typeof part === 'number') return { ...next, total: state.total + unitsOf(part) * BigInt(times) };
  const decimal = parseDecimal(special);
  if (decimal === null) throw new TypeError('a text that is no number cannot be added up');
  return addDecimal(next, decimal, times);
}

function kindOf(part: unknown): 'number' | 'bigint' | 'decimal' {
  if (typeof part === 'string') return 'decimal';
  if (typeof part === 'bigint' || typeof part === 'number') return typeof part as 'number' | 'bigint';
  throw new TypeError(`a ${typeof part} cannot be added up`);
}

function addDecimal(state: SumState, { unscaled, scale }: Decimal, times: number): SumState {
  if (scale === state.scale) {
    const left = (state.scales[scale] ?? 0) + times;
    // The widest of the scales stays as it is, as in most sums.
    if (left > 0) return { ...state, scales: { ...state.scales, [scale]: left }, total: state.total + unscaled * BigInt(times) };
  }
  const scales = { ...state.scales };
  const left = (scales[scale] ?? 0) + times;
  if (left === 0) delete scales[scale];
  else scales[scale] = left;
  const widest = Math.max(0, scale, ...Object.keys(scales).map(Number));
  const at = (value: bigint, from: number): bigint => value * 10n ** BigInt(widest - from);
  // A part that is taken away was put in at its scale or a wider one: `state.scale` is never wider than `widest`.
  const total = at(state.total, Math.min(state.scale, widest)) + at(unscaled, scale) * BigInt(times);
  const kept = Math.max(0, ...Object.keys(scales).map(Number));
  return { ...state, scales, scale: kept, total: total / 10n ** BigInt(widest - kept) };
}

/** The sum as its parts are; null without parts. */
export function sumOf(state: SumState): number | bigint | string | null {
  if (state.count === 0) return null;
  const total = toDecimal(state);
  if (typeof total === 'string') return state.of === 'number' ? Number(total) : total;
  if (state.of === 'bigint') return state.total;
  return state.of === 'number' ? numberOf(state.total) : formatDecimal(total);
}

/** The sum as a decimal, or `NaN`, `Infinity`, `-Infinity`. */
export function toDecimal(state: SumState): Decimal | string {
  if (state.nan > 0 || (state.positive > 0 && state.negative > 0)) return 'NaN';
  if (state.positive > 0) return 'Infinity';
  if (state.negative > 0) return '-Infinity';
  // 2^-1074 is 5^1074 / 10^1074.
  if (state.of === 'number') return { unscaled: state.total * 5n ** 1074n, scale: 1074 };
  return { unscaled: state.total, scale: state.scale };
}

const view = new DataView(new ArrayBuffer(8));

/** A finite double in units of 2^-1074, the smallest one: exact. */
function unitsOf(value: number): bigint {
  view.setFloat64(0, value);
  const bits = view.getBigUint64(0);
  const exponent = Number((bits >> 52n) & 0x7ffn);
  const fraction = bits & 0xf_ffff_ffff_ffffn;
  const units = exponent === 0 ? fraction : (fraction | 0x10_0000_0000_0000n) << BigInt(exponent - 1);
  return value < 0 ? -units : units;
}

/** The double nearest to a number of units; ties to even. */
function numberOf(units: bigint): number {
  const negative = units < 0n;
  const size = negative ? -units : units;
  const extra = Math.max(0, size.toString(2).length - 53);
  let mantissa = size >> BigInt(extra);
  const rest = size - (mantissa << BigInt(extra));
  const half = extra === 0 ? 1n : 1n << BigInt(extra - 1);
  if (extra > 0 && (rest > half || (rest === half && (mantissa & 1n) === 1n))) mantissa += 1n;
  const value = Number(mantissa) * 2 ** (extra - 1074);
  return negative ? -value : value;
}
