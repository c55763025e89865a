import { Cron } from 'croner';

/** When something is due, by a cron expression in a time zone. Times are milliseconds since 1970. */
export interface Schedule {
  /** The first time behind `after`; null when there is none any more. */
  next(after: number): number | null;
  /** The last time at or before `at`; null when there was none. */
  previous(at: number): number | null;
}

export type ParsedSchedule = { readonly schedule: Schedule; readonly problem?: undefined } | { readonly problem: string };

/** Five fields, or six with seconds in front, as cron knows them; `timezone` is a name such as Europe/Zurich, and says when the clock is put forward or back. */
export function parseSchedule(text: string, timezone: string): ParsedSchedule {
  try {
    // Cron itself would find out at the first run.
    Intl.DateTimeFormat('en', { timeZone: timezone });
    const cron = new Cron(text, { timezone, paused: true });
    return {
      schedule: {
        next: (after) => cron.nextRun(new Date(after))?.getTime() ?? null,
        // Cron counts in seconds, and gives what lies before one.
        previous: (at) => cron.previousRuns(1, new Date(Math.floor(at / 1000) * 1000 + 1000))[0]?.getTime() ?? null,
      },
    };
  } catch (error) {
    return { problem: error instanceof Error ? error.message.replace(/^CronPattern: /, '') : String(error) };
  }
}
