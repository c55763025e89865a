import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { JobRunRecord } from '../../src/pipeline/control-records.ts';
import { JobRunner, type JobRunnerOptions } from '../../src/pipeline/job-runner.ts';
import { parseSchedule, type Schedule } from '../../src/runtime/cron.ts';
import { TailraceError } from '../../src/runtime/errors.ts';
import { silentLogger } from '../../src/runtime/logger.ts';

const minute = 60_000;
const noon = Date.UTC(2026, 0, 1, 12);
const everyMinute: Schedule = { next: (after) => Math.floor(after / minute) * minute + minute, previous: (at) => Math.floor(at / minute) * minute };

/** Runs a job by a clock that moves when it is waited for, until so many of its times are recorded. */
async function run(until: number, options: Partial<JobRunnerOptions> & { readonly at?: number; readonly takes?: (run: number) => number }): Promise<{ readonly records: JobRunRecord[]; readonly now: number }> {
  let now = options.at ?? noon + 1000;
  let runs = 0;
  const records: JobRunRecord[] = [];
  const stop = new AbortController();
  const runner = new JobRunner({
    name: 'nightly', schedule: everyMinute, missed: 'run', overlap: 'skip', retries: 0, last: null, logger: silentLogger,
    clock: { now: () => now, until: async (time) => void (now = Math.max(now, time)) },
    run: async () => {
      now += options.takes?.(runs++) ?? 10;
      return { position: null, rows: 1, into: 'topic' };
    },
    record: async (record) => {
      records.push(record);
      if (records.length >= until) stop.abort();
    },
    ...options,
  });
  await runner.run(stop.signal);
  return { records, now };
}

const told = (records: readonly JobRunRecord[]): string[] => records.map(({ outcome, scheduled }) => `${outcome} ${(scheduled - noon) / minute}`);

test('a job runs at its times, and the first time is one that comes', async () => {
  assert.deepEqual(told((await run(3, {})).records), ['ok 1', 'ok 2', 'ok 3']);
});

test('a time that passed while nothing ran is made up for once, however many have passed; or noted, as configured', async () => {
  const away = { last: noon, at: noon + 7.5 * minute };
  assert.deepEqual(told((await run(2, away)).records), ['ok 7', 'ok 8']);
  assert.deepEqual(told((await run(2, { ...away, missed: 'skip' })).records), ['missed 7', 'ok 8']);
});

test('a restart between two times misses nothing', async () => {
  assert.deepEqual(told((await run(1, { last: noon, at: noon + 30_000, missed: 'skip' })).records), ['ok 1']);
});

test('a time that passes while a run is at work is skipped, or made up for once, as configured', async () => {
  const slow = { takes: (n: number) => (n === 0 ? 2.5 * minute : 10) };
  assert.deepEqual(told((await run(3, slow)).records), ['ok 1', 'skipped 3', 'ok 4']);
  assert.deepEqual(told((await run(3, { ...slow, overlap: 'run' })).records), ['ok 1', 'ok 3', 'ok 4']);
});

test('what fails for want of the replica is tried again, with growing pauses; what the query is to blame for is not', async () => {
  let calls = 0;
  const failing = (times: number, error: Error): Partial<JobRunnerOptions> => ({
    retries: 3,
    run: async () => {
      if (calls++ < times) throw error;
      return { position: { logId: 'x', systemIdentifier: '7', startId: 'a', epoch: 2, commitLsn: 5n, offset: 0 }, rows: 4, into: 'x' };
    },
  });
  const away = await run(1, failing(3, new TailraceError('sink-unreachable', 'it is away')));
  assert.deepEqual(away.records.map(({ outcome, attempts, place, rows }) => ({ outcome, attempts, place, rows })), [{ outcome: 'ok', attempts: 4, place: { epoch: 2, commitLsn: 5n }, rows: 4 }]);
  assert.equal(away.now, noon + minute + 1000 + 2000 + 4000);
  calls = 0;
  const [given] = (await run(1, failing(9, new TailraceError('sink-unreachable', 'it is away')))).records;
  assert.equal(`${given?.outcome} ${given?.attempts} ${given?.error?.code}`, 'failed 4 sink-unreachable');
  calls = 0;
  const [wrong] = (await run(1, failing(9, new TailraceError('job-query', 'no such column')))).records;
  assert.equal(`${wrong?.outcome} ${wrong?.attempts} ${wrong?.error?.code}`, 'failed 1 job-query');
});

test('a schedule is read by the clock of its time zone, put forward and back as that is', () => {
  const { schedule } = parseSchedule('30 2 * * *', 'Europe/Zurich') as { schedule: Schedule };
  const iso = (time: number | null): string => new Date(time ?? 0).toISOString();
  assert.equal(iso(schedule.next(Date.UTC(2026, 0, 5, 12))), '2026-01-06T01:30:00.000Z');
  assert.equal(iso(schedule.next(Date.UTC(2026, 6, 5, 12))), '2026-07-06T00:30:00.000Z');
  const next = schedule.next(Date.UTC(2026, 6, 5, 12)) ?? 0;
  assert.equal(schedule.previous(next), next);
  assert.equal(iso(schedule.previous(next - 1)), '2026-07-05T00:30:00.000Z');
  assert.match(parseSchedule('61 * * * *', 'UTC').problem ?? '', /minute/);
  assert.match(parseSchedule('* * * * *', 'Europe/Nowhere').problem ?? '', /time zone/i);
});
