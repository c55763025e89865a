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
