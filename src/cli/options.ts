import { InvalidArgumentError } from 'commander';
import { shortened } from '../runtime/printable.ts';

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
