import { parentPort, workerData } from 'node:worker_threads';
import { configFromPortable } from '../config/portable.ts';
import { supervise, statusError, type Health } from '../pipeline/supervision.ts';
import { createLog } from '../registry.ts';
import { exitCodeFor, TailraceError } from '../runtime/errors.ts';
import { createLogger, type LogLevel } from '../runtime/logger.ts';
import { ResultsTask } from './results-task.ts';
import { ShardTask } from './shard-task.ts';
import { resultsTask } from './spread-streams.ts';
import { spreadContext, type SpreadContext, type SpreadTask } from './spread-task.ts';
import { emptyReport, type FromSink, type SinkReport, type SpreadThreadData, type ToSpreadThread } from './thread-messages.ts';

const reportInterval = 250;

/** The thread in which this process does its part of one stream that is spread over workers: the tasks that it has for the time being. */
class SpreadThread {
  readonly #data = workerData as SpreadThreadData;
  readonly #config = configFromPortable(this.#data.config);
  readonly #logger = createLogger({ level: this.#data.logLevel as LogLevel }).child({ pipeline: this.#config.name, stream: this.#data.stream });
  readonly #tasks = new Map<string, { readonly task: SpreadTask; health: Health | { readonly state: 'starting' } }>();
  readonly #given = new Map<string, AbortController>();
  readonly #works = new Set<Promise<void>>();
  #context: SpreadContext | null = null;
  /** Of the whole thread, where its module cannot be loaded. */
  #error: SinkReport['error'] = null;

  async run(stop: AbortSignal): Promise<unknown> {
    const timer = setInterval(() => this.#report(), reportInterval);
    const error = await supervise({
      run: async (signal, healthy) => {
        const log = await createLog(this.#config.log, { pipeline: this.#config.name, logger: this.#logger });
        this.#context = await spreadContext(this.#config, this.#data.stream, { log, logger: this.#logger });
        healthy();
        send({ kind: 'tasks-ready' });
        await new Promise((resolve) => { signal.addEventListener('abort', resolve, { once: true }); });
      },
      onHealth: (health, cause) => {
        this.#error = 'error' in health ? health.error : null;
        if (cause !== null) this.#logger.warn({ err: cause }, 'the stream cannot be taken part in now');
      },
    }, stop);
    for (const given of this.#given.values()) given.abort(stop.reason);
    await Promise.all(this.#works);
    clearInterval(timer);
    this.#error = error === null ? null : statusError(error);
    this.#report();
    return error;
  }

  begin(name: string): void {
    const context = this.#context;
    if (context === null) return;
    const given = new AbortController();
    this.#given.set(name, given);
    const work = this.#run(name === resultsTask ? new ResultsTask(context) : new ShardTask(context, Number(name)), name, given.signal).then(() => {
      this.#works.delete(work);
      this.#given.delete(name);
      send({ kind: 'task-ended', task: name });
    });
    this.#works.add(work);
  }

  end(name: string): void {
    this.#given.get(name)?.abort(new TailraceError('lead-lost', `another worker has ${name} of ${this.#data.stream}`));
  }

  /** Until the task is given up. An error that stops it for good stops it here alone: it stays with this worker, which shows it. */
  async #run(task: SpreadTask, name: string, until: AbortSignal): Promise<void> {
    const entry: { readonly task: SpreadTask; health: Health | { readonly state: 'starting' } } = { task, health: { state: 'starting' } };
    this.#tasks.set(name, entry);
    this.#logger.info({ task: name }, 'a task of the stream begins here');
    const error = await supervise({
      run: (signal, healthy) => task.run(signal, healthy),
      onHealth: (health, cause) => {
        entry.health = health;
        if (health.state === 'retrying') this.#logger.warn({ task: name, err: cause }, 'a task of the stream is interrupted; it is tried again');
        if (health.state === 'stopped') this.#logger.error({ task: name, err: cause }, 'a task of the stream has stopped');
      },
    }, until);
    if (error !== null && !until.aborted) await new Promise((resolve) => until.addEventListener('abort', resolve, { once: true }));
    this.#tasks.delete(name);
    this.#logger.info({ task: name }, 'a task of the stream has ended here');
  }

  #report(): void {
    const reports = [...this.#tasks].map(([name, { task, health }]) => [name, { ...task.report(), state: health.state, error: 'error' in health ? health.error : null }] as const);
    const stopped = this.#error === null || this.#tasks.size > 0 ? [] : [[resultsTask, { ...emptyReport, state: 'retrying' as const, error: this.#error }] as const];
    send({ kind: 'tasks', reports: Object.fromEntries([...reports, ...stopped]) });
  }
}

function send(message: FromSink): void {
  parentPort?.postMessage(message);
}

const stop = new AbortController();
const thread = new SpreadThread();
parentPort?.on('message', (message: ToSpreadThread) => {
  if (message.kind === 'stop') stop.abort(new TailraceError('internal', 'stopped'));
  else if (message.kind === 'task-begin') thread.begin(message.task);
  else if (message.kind === 'task-end') thread.end(message.task);
});
const error = await thread.run(stop.signal);
send({ kind: 'ended', exit: error === null ? 0 : exitCodeFor(error) });
parentPort?.close();
