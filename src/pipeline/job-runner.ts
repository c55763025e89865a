import { randomUUID } from 'node:crypto';
import type { Position } from '../event/position.ts';
import type { Schedule } from '../runtime/cron.ts';
import { TailraceError } from '../runtime/errors.ts';
import type { Logger } from '../runtime/logger.ts';
import type { JobRunRecord } from './control-records.ts';
import { statusError } from './supervision.ts';

/** What a run gave. */
export interface JobResult {
  readonly position: Position | null;
  readonly rows: number;
  /** Where it went, for people. */
  readonly into: string;
}

export interface JobRunnerOptions {
  readonly name: string;
  readonly schedule: Schedule;
  /** What to do at the start about a time that passed while nobody was there. */
  readonly missed: 'run' | 'skip';
  /** What to do about a time that passed while the run before was still at work. */
  readonly overlap: 'run' | 'skip';
  /** How often a run that fails is tried again. */
  readonly retries: number;
  /** For what time the last run was, in an earlier life; null when there was none. */
  readonly last: number | null;
  /** Runs the query and delivers its result. */
  run(run: { readonly id: string; readonly scheduled: number }): Promise<JobResult>;
  /** Durable when resolved. */
  record(record: JobRunRecord): Promise<void>;
  readonly clock: JobClock;
  readonly logger: Logger;
}

export interface JobClock {
  /** Milliseconds since 1970. */
  now(): number;
  /** Resolves at that time, or when the signal aborts. */
  until(at: number, signal: AbortSignal): Promise<void>;
}

const firstRetryDelay = 1000;

/**
 * Runs one job at its times, one run at a time. Whatever becomes of a time is recorded: it ran, failed, was missed, or was skipped
 * because the run before took too long. A time that is passed is made up for once, however many have passed.
 */
export class JobRunner {
  readonly #options: JobRunnerOptions;
  /** When the next run is due; null when there is none. */
  next: number | null = null;
  running = false;
  last: JobRunRecord | null = null;

  constructor(options: JobRunnerOptions) {
    this.#options = options;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { schedule, clock, last, missed, overlap } = this.#options;
    let from = last ?? clock.now();
    let busyUntil = 0;
    while (!signal.aborted) {
      const next = schedule.next(from);
      this.next = next;
      if (next === null) return;
      if (next > clock.now()) await clock.until(next, signal);
      if (signal.aborted) return;
      // The newest time that has come: those between it and the last one are made up for by it.
      const due = Math.max(next, schedule.previous(clock.now()) ?? next);
      const late = next < busyUntil ? 'overlap' : last !== null && busyUntil === 0 && due < clock.now() - tolerance ? 'missed' : null;
      from = due;
      if ((late === 'overlap' && overlap === 'skip') || (late === 'missed' && missed === 'skip')) {
        await this.#note(due, late === 'overlap' ? 'skipped' : 'missed');
      } else {
        await this.#run(due, signal);
      }
      busyUntil = clock.now();
    }
  }

  async #run(scheduled: number, signal: AbortSignal): Promise<void> {
    const { name, clock, retries, logger } = this.#options;
    const id = randomUUID();
    const started = clock.now();
    this.running = true;
    try {
      for (let attempt = 1; ; attempt++) {
        try {
          const { position, rows, into } = await this.#options.run({ id, scheduled });
          const at = position && { epoch: position.epoch, commitLsn: position.commitLsn };
          await this.#record({ type: 'job-run', id, outcome: 'ok', scheduled, started, finished: clock.now(), attempts: attempt, place: at, rows, into, error: null });
          logger.info({ job: name, rows, into }, 'a job has run');
          return;
        } catch (error) {
          if (signal.aborted) return;
          const again = attempt <= retries && !isFinal(error);
          logger.warn({ job: name, err: error, attempt }, again ? 'a job is interrupted; it is tried again' : 'a job has failed');
          if (again) {
            await clock.until(clock.now() + firstRetryDelay * 2 ** Math.min(attempt - 1, 8), signal);
            continue;
          }
          await this.#record({ type: 'job-run', id, outcome: 'failed', scheduled, started, finished: clock.now(), attempts: attempt, place: null, rows: 0, into: null, error: statusError(error) });
          return;
        }
      }
    } finally {
      this.running = false;
    }
  }

  async #note(scheduled: number, outcome: 'missed' | 'skipped'): Promise<void> {
    const now = this.#options.clock.now();
    this.#options.logger.warn({ job: this.#options.name, scheduled: new Date(scheduled).toISOString() }, outcome === 'missed' ? 'a job was missed while nothing ran' : 'a job is skipped: the run before took too long');
    await this.#record({ type: 'job-run', id: randomUUID(), outcome, scheduled, started: now, finished: now, attempts: 0, place: null, rows: 0, into: null, error: null });
  }

  async #record(record: JobRunRecord): Promise<void> {
    this.last = record;
    await this.#options.record(record);
  }
}

/** A time that is this little past is the one that was waited for. */
const tolerance = 1000;

/** What the query itself is to blame for does not pass by itself. */
function isFinal(error: unknown): boolean {
  return error instanceof TailraceError && error.code === 'job-query';
}
