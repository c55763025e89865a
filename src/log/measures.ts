import { z } from 'zod';
import { parseDuration, parseSize, type Bounds, type Parsed } from '../runtime/units.ts';

/** `64MiB` in a log's configuration, as bytes. */
export function size(bounds: Bounds): z.ZodType<number, string> {
  return measure((text) => parseSize(text, bounds));
}

/** `7d`, as milliseconds. */
export function duration(bounds: Bounds): z.ZodType<number, string> {
  return measure((text) => parseDuration(text, bounds));
}

function measure(parse: (text: string) => Parsed): z.ZodType<number, string> {
  return z.string().transform((text, context) => {
    const parsed = parse(text);
    if (parsed.problem === undefined) return parsed.value;
    context.addIssue({ code: 'custom', message: parsed.problem });
    return z.NEVER;
  });
}
