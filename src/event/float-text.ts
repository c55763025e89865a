/** As Postgres writes a `real` or a `double precision`, whatever its value. */
export function floatText(form: 'float4' | 'float8', value: number): string {
  if (!Number.isFinite(value)) return String(value);
  if (Object.is(value, -0)) return '-0';
  return formatFloat(form, form === 'float4' ? shortestReal(value) : value);
}

/** The double that has the fewest digits among those that round to this `real`. */
function shortestReal(value: number): number {
  // Below the smallest normal number fewer digits than six tell neighbours apart.
  for (let digits = Math.abs(value) < 2 ** -126 ? 1 : 6; digits < 9; digits++) {
    const candidate = Number(value.toPrecision(digits));
    if (Math.fround(candidate) === value) return candidate;
  }
  return Number(value.toPrecision(9));
}

/**
 * As float4out and float8out write the shortest digits that read back as the same number: without an exponent from 1e-4 to
 * below 1e6 (float4) or 1e15 (float8). JavaScript finds the same digits and only sets the exponent elsewhere.
 */
export function formatFloat(form: 'float4' | 'float8', value: number): string {
  const size = Math.abs(value);
  if (value === 0 || (size >= 1e-4 && size < (form === 'float4' ? 1e6 : 1e15))) return String(value);
  const [digits, exponent] = value.toExponential().split('e') as [string, string];
  return `${digits}e${exponent[0]}${exponent.slice(1).padStart(2, '0')}`;
}
