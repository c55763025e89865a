import type { PipelineConfig } from '../config/pipeline-schema.ts';
import type { LogWriter } from '../log/log.ts';
import { createLog, logs } from '../registry.ts';
import { TailraceError } from '../runtime/errors.ts';
import { commandLogger } from '../runtime/logger.ts';
import { formatSize } from '../runtime/units.ts';
import { askDaemon } from './control/ask-daemon.ts';
import type { LogRequest } from './control/log-request.ts';
import { performOnLog, type LogReply } from './log-requests.ts';

/** A large topic is read twice, and written. */
const longest = 24 * 3_600_000;

/** What a daemon takes in one request, in base64: it is less than its socket does. */
const longestForDaemon = 15 << 20;

/**
 * For commands that write to a pipeline's log. Where one process has the log, that is its daemon, which does it for us; where no daemon
 * runs, the log is opened for each request and closed behind it, so that a daemon that starts meanwhile finds it free. Where many may
 * write, we do.
 */
export class LogDoor {
  readonly #config: PipelineConfig;
  readonly #runtimeFolder: string | undefined;
  /** Kept where others do not wait for it. */
  #writer: LogWriter | null = null;

  /** `runtimeFolder` is TAILRACE_RUNTIME_DIR, as the daemon has it. */
  constructor(config: PipelineConfig, runtimeFolder: string | undefined) {
    this.#config = config;
    this.#runtimeFolder = runtimeFolder;
  }

  /** What was asked for is durable when this resolves. Throws `log-locked` where the log is another process's that takes no commands. */
  async ask(request: LogRequest): Promise<LogReply> {
    const { name: pipeline, log } = this.#config;
    if (logs[log.type].writers === 'many') return performOnLog((this.#writer ??= await (await createLog(log, { pipeline, logger: commandLogger })).openWriter()), request);
    if (lengthOf(request) > longestForDaemon) return this.#withoutDaemon(request);
    try {
      return await askDaemon(this.#config, 'log', request, { runtimeFolder: this.#runtimeFolder, ...(request.do === 'compact' ? { timeoutMs: longest } : {}) });
    } catch (error) {
      if (!(error instanceof TailraceError && error.code === 'daemon-missing')) throw error;
    }
    return withWriter(this.#config, (writer) => performOnLog(writer, request));
  }

  async close(): Promise<void> {
    await this.#writer?.close();
  }

  async #withoutDaemon(request: LogRequest): Promise<LogReply> {
    try {
      return await withWriter(this.#config, (writer) => performOnLog(writer, request));
    } catch (error) {
      if (!(error instanceof TailraceError && error.code === 'log-locked')) throw error;
      throw new TailraceError('log-record-too-large', `a record of about ${formatSize(lengthOf(request) * 0.75)} is more than a daemon takes from a command`, {
        cause: error, remedy: 'Stop the daemon and run the command again: it then writes the record itself.',
      });
    }
  }
}

function lengthOf(request: LogRequest): number {
  return request.do === 'append' ? request.records.reduce((sum, { key, value }) => sum + (key?.length ?? 0) + (value?.length ?? 0), 0) : 0;
}

/** For what no daemon does for us: the pipeline must not run on a log that is one process's. */
export async function withWriter<T>(config: PipelineConfig, use: (writer: LogWriter) => Promise<T>): Promise<T> {
  const log = await createLog(config.log, { pipeline: config.name, logger: commandLogger });
  const writer = await log.openWriter().catch((error: unknown) => {
    throw error instanceof TailraceError && error.code === 'log-locked' ? new TailraceError('log-locked', error.message, { cause: error, remedy: 'If it is the daemon, run the command on its machine, as its user and with the same TAILRACE_RUNTIME_DIR; for a topic of the pipeline itself, stop it first.' }) : error;
  });
  try {
    return await use(writer);
  } finally {
    await writer.close();
  }
}
