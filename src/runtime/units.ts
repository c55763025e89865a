/** Milliseconds and bytes as people write them in a configuration: `500ms`, `30s`, `12h`, `7d`; `10MB`, `1GiB`. */

const durationUnits: ReadonlyMap<string, number> = new Map([
  ['ms', 1],
  ['s', 1000],
  ['m', 60_000],
  ['h', 3_600_000],
  ['d', 86_400_000],
]);

const sizeUnits: ReadonlyMap<string, number> = new Map([
  ['B', 1],
  ['KB', 1000],
  ['MB', 1000 ** 2],
  ['GB', 1000 ** 3],
  ['TB', 1000 ** 4],
  ['KiB', 1024],
  ['MiB', 1024 ** 2],
  ['GiB', 1024 ** 3],
  ['TiB', 1024 ** 4],
]);

/** Node fires a longer timer at once, so that no duration that may become a timer is longer: 24 days and 20 hours. */
export const MAX_TIMER_MS = 2 ** 31 - 1;

const amount = /^(\d{1,15}(?:\.\d{1,6})?)\s?([A-Za-z]+)$/;

/** `{ value }` in milliseconds or bytes, or `{ problem }`: what is wrong, in words that name the forms accepted. */
export type Parsed = { readonly value: number; readonly problem?: undefined } | { readonly problem: string };

export interface Bounds {
  /** Inclusive; written with a unit, as it stands in the message: `1s`. */
  readonly min?: string;
  readonly max?: string;
}

/** Milliseconds from `30s`; a bare number is refused because nobody can tell what it counts. */
export function parseDuration(text: string, bounds: Bounds = {}): Parsed {
  return parseAmount(text, durationUnits, { forms: 'a duration such as 500ms, 30s, 5m, 12h or 7d', bounds });
}

/** A duration that is handed to a timer: refuses what would overflow it. */
export function parseTimer(text: string, bounds: Bounds = {}): Parsed {
  const parsed = parseDuration(text, bounds);
  if (parsed.problem === undefined && parsed.value > MAX_TIMER_MS) return { problem: 'at most 24d (a timer cannot wait longer)' };
  return parsed;
}

/** Bytes from `64MiB`. */
export function parseSize(text: string, bounds: Bounds = {}): Parsed {
  return parseAmount(text, sizeUnits, { forms: 'a size such as 512KiB, 64MB or 1GiB', bounds });
}

function parseAmount(
  text: string,
  units: ReadonlyMap<string, number>,
  { forms, bounds }: { forms: string; bounds: Bounds },
): Parsed {
  const match = amount.exec(text.trim());
  const unit = match?.[2] === undefined ? undefined : units.get(match[2]);
  if (match?.[1] === undefined || unit === undefined) return { problem: `expected ${forms}` };
  const value = Math.round(Number(match[1]) * unit);
  if (!Number.isSafeInteger(value)) return { problem: `expected ${forms}; this one is too large to count` };
  const limit = (bound: string): number => {
    const parsed = parseAmount(bound, units, { forms, bounds: {} });
    if (parsed.problem !== undefined) throw new RangeError(`not a bound: ${bound}`);
    return parsed.value;
  };
  if (bounds.min !== undefined && value < limit(bounds.min)) return { problem: `at least ${bounds.min}` };
  if (bounds.max !== undefined && value > limit(bounds.max)) return { problem: `at most ${bounds.max}` };
  return { value };
}

const showSizes = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const;

/** `1.5 GiB`: three digits at most, for people. */
export function formatSize(bytes: number): string {
  let value = bytes;
  let at = 0;
  while (Math.abs(value) >= 1024 && at < showSizes.length - 1) {
    value /= 1024;
    at++;
  }
  return `${at === 0 || Math.abs(value) >= 100 ? Math.round(value) : value.toFixed(1)} ${showSizes[at] ?? 'B'}`;
}

/** `12ms`, `3.4s`, `5m 10s`, `2h 5m`, `3d 4h`: for people. */
export function formatDuration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)}ms`;
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)}s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m ${seconds % 60}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 1440) return `${Math.floor(minutes / 60)}h ${minutes % 60}m`;
  return `${Math.floor(minutes / 1440)}d ${Math.floor((minutes % 1440) / 60)}h`;
}
