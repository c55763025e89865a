/**
 * Precision and scale of a `numeric(p, s)` by its type modifier; undefined for a `numeric` without limits, and for a scale that
 * decimals elsewhere do not know: below zero, or beyond the precision.
 */
export function numericLimits(typmod: number): { readonly precision: number; readonly scale: number } | undefined {
  if (typmod < 4) return undefined;
  // numeric.c, numeric_typmod_precision and numeric_typmod_scale: the scale has 11 bits and a sign.
  const precision = ((typmod - 4) >> 16) & 0xffff;
  const scale = (((typmod - 4) & 0x7ff) ^ 1024) - 1024;
  return precision >= 1 && scale >= 0 && scale <= precision ? { precision, scale } : undefined;
}
