import { setTimeout as delay } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import { configFromPortable } from '../config/portable.ts';
import type { JobConfig, PipelineConfig } from '../config/pipeline-schema.ts';
import { decodeControl, encodeControl } from '../pipeline/control-json.ts';
import type { JobRunRecord } from '../pipeline/control-records.ts';
import { JobRunner, type JobClock } from '../pipeline/job-runner.ts';
import { records } from '../pipeline/log-state.ts';
import type { JobStatus } from '../pipeline/status.ts';
import { supervise } from '../pipeline/supervision.ts';
import { topicNames } from '../pipeline/topics.ts';
import { createLog } from '../registry.ts';
import { parseSchedule, type Schedule } from '../runtime/cron.ts';
import { TailraceError } from '../runtime/errors.ts';
import { createLogger, type LogLevel, type Logger } from '../runtime/logger.ts';
import { MAX_TIMER_MS } from '../runtime/units.ts';
import { deliverJob } from './job-delivery.ts';
import { appenderOver, type Append } from './job-port.ts';
import type { FromJobs, JobsThreadData, ToThread } from './thread-messages.ts';

const reportInterval = 250;

const clock: JobClock = {
  now: () => Date.now(),
  until: async (at, signal) => {
    // In steps, because a timer cannot be longer than this, and the clock may be set.
    while (!signal.aborted && at > Date.now()) await delay(Math.min(at - Date.now(), 60_000, MAX_TIMER_MS), undefined, { signal }).catch(() => undefined);
  },
};

/** The thread in which a pipeline's jobs wait for their times, each by itself; their queries take turns where a replica answers within this thread. */
class JobsThread {
  readonly #data: JobsThreadData;
  readonly #config: PipelineConfig;
  readonly #logger: Logger;
  readonly #append: Append;
  readonly #runners = new Map<string, JobRunner>();
  readonly #stopped = new Set<string>();
  readonly #stop = new AbortController();

  constructor(data: JobsThreadData) {
    this.#data = data;
    this.#config = configFromPortable(data.config);
    this.#logger = createLogger({ level: data.logLevel as LogLevel }).child({ pipeline: this.#config.name });
    this.#append = appenderOver(data.port);
  }

  async run(): Promise<void> {
    parentPort?.on('message', (message: ToThread) => {
      if (message.kind === 'stop') this.#stop.abort(new TailraceError('internal', 'stopped'));
    });
    const timer = setInterval(() => this.#report(), reportInterval);
    await Promise.all(this.#config.jobs.map((job) => this.#supervised(job)));
    clearInterval(timer);
    this.#report();
    this.#data.port.close();
    parentPort?.close();
  }

  async #supervised(job: JobConfig): Promise<void> {
    const onHealth = (health: { readonly state: string }, error: unknown): void => {
      if (health.state !== 'running') this.#logger.warn({ job: job.name, err: error }, 'the job is interrupted; it is tried again');
    };
    const error = await supervise({ run: (signal, healthy) => this.#run(job, signal, healthy), onHealth }, this.#stop.signal);
    if (error === null) return;
    this.#logger.error({ job: job.name, err: error }, 'the job has stopped');
    this.#stopped.add(job.name);
  }

  async #run(job: JobConfig, signal: AbortSignal, healthy: () => void): Promise<void> {
    const topics = topicNames(this.#config.name);
    const last = await this.#lastRun(topics.job(job.name));
    const runner = new JobRunner({
      name: job.name, schedule: scheduleOf(job), missed: job.missed, overlap: job.overlap, retries: job.retries, last: last?.scheduled ?? null, clock, logger: this.#logger,
      run: (run) => deliverJob({ config: this.#config, job, run, logger: this.#logger, append: this.#append }),
      record: (record) => this.#append(topics.job(job.name), [encodeControl(record)]),
    });
    runner.last = last;
    this.#runners.set(job.name, runner);
    healthy();
    await runner.run(signal);
  }

  async #lastRun(topic: string): Promise<JobRunRecord | null> {
    const log = await createLog(this.#config.log, { pipeline: this.#config.name, logger: this.#logger, shared: this.#data.shared });
    const reader = await log.openReader();
    try {
      let last: JobRunRecord | null = null;
      for await (const cursor of records(reader, topic)) last = decodeControl<JobRunRecord>(cursor.value, `${topic} at offset ${cursor.offset}`);
      return last;
    } finally {
      await reader.close();
    }
  }

  #report(): void {
    const report = this.#config.jobs.map(({ name }): JobStatus => {
      const runner = this.#runners.get(name);
      const { outcome, scheduled, finished, rows, into, error } = runner?.last ?? {};
      const last = outcome === undefined ? null : { outcome, scheduled: scheduled ?? 0, finished: finished ?? 0, rows: rows ?? 0, into: into ?? null, error: error?.message ?? null };
      return { name, state: this.#stopped.has(name) ? 'stopped' : runner?.running === true ? 'running' : 'waiting', next: runner?.next ?? null, last };
    });
    parentPort?.postMessage({ kind: 'jobs', report } satisfies FromJobs);
  }
}

function scheduleOf({ schedule, timezone }: JobConfig): Schedule {
  const parsed = parseSchedule(schedule, timezone);
  if (parsed.problem !== undefined) throw new TailraceError('internal', `the schedule was read before: ${parsed.problem}`);
  return parsed.schedule;
}

await new JobsThread(workerData as JobsThreadData).run();
