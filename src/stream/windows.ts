import { parseDuration } from '../runtime/units.ts';

/** Windows of event time; all in milliseconds. */
export type WindowShape =
  | { readonly kind: 'fixed'; readonly size: number; readonly every: number }
  | { readonly kind: 'session'; readonly gap: number };

export interface WindowSpec {
  readonly shape: WindowShape;
  /** A row's event time in milliseconds since 1970 (see `time`); null is in no window. */
  readonly at: (row: never) => number | null;
  /** How far behind the newest event time a row may still come, milliseconds. */
  readonly grace: number;
  /** `changes`: results are shown as they come and corrected; `closed`: once, when nothing can change them any more. */
  readonly emit: 'changes' | 'closed';
}

/** How far apart in event time two rows of a join may be; all in milliseconds. */
export interface JoinWindowSpec {
  readonly leftAt: (row: never) => number | null;
  readonly rightAt: (row: never) => number | null;
  /** How much earlier, and how much later, the right row may be; both bounds are within. */
  readonly before: number;
  readonly after: number;
  readonly grace: number;
  readonly emit: 'changes' | 'closed';
}

/** Windows of one size, one after the other. Durations as in the configuration: `500ms`, `10s`, `1m`, `1h`, `7d`. */
export function tumbling(size: string): WindowShape {
  const length = durationOf(size);
  return { kind: 'fixed', size: length, every: length };
}

/** Windows of one size, of which a new one begins `every` so often: a row is in `size / every` of them. */
export function hopping(size: string, every: string): WindowShape {
  const [length, step] = [durationOf(size), durationOf(every)];
  if (step > length) throw new TypeError(`windows of ${size} that begin every ${every} would leave rows out`);
  return { kind: 'fixed', size: length, every: step };
}

/** A window as long as rows of its key come: it ends when none has come for `gap`. */
export function session(gap: string): WindowShape {
  return { kind: 'session', gap: durationOf(gap) };
}

export function durationOf(text: string): number {
  const parsed = parseDuration(text, { min: '1ms' });
  if (parsed.problem !== undefined) throw new TypeError(`${JSON.stringify(text)}: ${parsed.problem}`);
  return parsed.value;
}

/** The starts of the windows that hold a time, oldest first. */
export function windowStarts(at: number, { size, every }: { readonly size: number; readonly every: number }): number[] {
  const starts: number[] = [];
  for (let start = Math.floor(at / every) * every; start > at - size; start -= every) starts.unshift(start);
  return starts;
}

const form = /^(\d{4,})-(\d\d)-(\d\d)(?:[ T](\d\d):(\d\d):(\d\d)(\.\d+)?)?(?:Z|([+-])(\d\d)(?::?(\d\d))?(?::?(\d\d))?)?( BC)?$/;

/**
 * Event time of a Postgres `timestamptz`, `timestamp` (taken as UTC) or `date`: milliseconds since 1970, fractions kept.
 * `infinity` and `-infinity` become the numbers; null stays null. Throws a TypeError for another text.
 */
export function time(text: string | null | undefined): number | null {
  if (text === null || text === undefined) return null;
  if (text === 'infinity') return Infinity;
  if (text === '-infinity') return -Infinity;
  const match = form.exec(text);
  if (match === null) throw new TypeError('a text that is no timestamp was given to time()');
  const part = (i: number): number => Number(match[i] ?? 0);
  const year = match[12] === undefined ? part(1) : 1 - part(1);
  // Date.UTC takes years below 100 for the twentieth century.
  const date = new Date(0).setUTCFullYear(year, part(2) - 1, part(3));
  const offset = (part(9) * 3600 + part(10) * 60 + part(11)) * (match[8] === '-' ? -1 : 1);
  return date + (part(4) * 3600 + part(5) * 60 + part(6) - offset) * 1000 + part(7) * 1000;
}
