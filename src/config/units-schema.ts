import { z } from 'zod';
import { parseDuration, parseSize, type Bounds, type Parsed } from '../runtime/units.ts';

function amount(parse: (text: string, bounds: Bounds) => Parsed, bounds: Bounds, example: string): z.ZodType<number, string> {
  return z
    .string()
    .transform((text, context) => {
      const parsed = parse(text, bounds);
      if (parsed.problem === undefined) return parsed.value;
      context.addIssue({ code: 'custom', message: parsed.problem });
      return z.NEVER;
    })
    .meta({ examples: [example] });
}

/** `7d` as milliseconds. */
export function duration(bounds: Bounds, example: string): z.ZodType<number, string> {
  return amount(parseDuration, bounds, example);
}

/** `10GB` as bytes. */
export function size(bounds: Bounds, example: string): z.ZodType<number, string> {
  return amount(parseSize, bounds, example);
}
