import { InvalidArgumentError } from 'commander';
import { shortened } from '../runtime/printable.ts';
import { parseDuration } from '../runtime/units.ts';

type Parser<T> = (text: string, previous: T | undefined) => T;

/** Refuses an option that is given twice: the last one winning in silence is nobody's intention. */
function once<T>(parse: (text: string) => T): Parser<T> {
  return (text, previous) => {
    if (previous !== undefined) throw new InvalidArgumentError('It is given twice.');
    return parse(text);
  };
}

export function wholeNumber(min: number, max: number = Number.MAX_SAFE_INTEGER): Parser<number> {
  return once((text) => {
    const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
    if (!(value >= min && value <= max)) throw new InvalidArgumentError(`A whole number from ${min}${max === Number.MAX_SAFE_INTEGER ? '' : ` to ${max}`} is needed.`);
    return value;
  });
}

export function word(allowed?: readonly string[]): Parser<string> {
  return once((text) => {
    if (text === '') throw new InvalidArgumentError('It must not be empty.');
    if (allowed !== undefined && !allowed.includes(text)) throw new InvalidArgumentError(`${shortened(text, 40)} is not one of ${allowed.join(', ')}.`);
    return text;
  });
}

/** Milliseconds since 1970 of a time as ISO 8601 has it. */
export function time(text: string): number {
  const at = /^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:?\d\d)?)?$/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(at)) throw new InvalidArgumentError('A time is needed, for example 2026-01-31T12:00:00Z.');
  return at;
}

/** Milliseconds of a duration such as 30s, 12h or 7d. */
export const milliseconds: Parser<number> = once((text) => {
  const parsed = parseDuration(text);
  if (parsed.problem !== undefined) throw new InvalidArgumentError(`${parsed.problem}.`);
  return parsed.value;
});
