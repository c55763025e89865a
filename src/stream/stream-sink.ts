import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { tableName, type TableSchema, type TableShape } from '../event/table.ts';
import { TailraceError } from '../runtime/errors.ts';
import type { Finding } from '../runtime/finding.ts';
import type { Sink, SinkSession } from '../sink/sink.ts';
import { shapeOf } from './output-types.ts';
import type { StreamOutputs } from './outputs.ts';
import { State } from './state.ts';
import { StreamSession } from './stream-session.ts';
import type { StreamModule } from './stream-module.ts';

export interface StreamSinkOptions {
  readonly name: string;
  /** The stream that it reads, in place of captured tables. */
  readonly from?: string | undefined;
  /** Where the state is, a file that is made where it is missing. */
  readonly path: string;
  readonly module: StreamModule;
  readonly outputs: StreamOutputs;
}

/** Towards the pipeline a stream is a sink whose replica is its state (ADR 60). */
export class StreamSink implements Sink {
  readonly inCommitOrder = true;
  readonly #options: StreamSinkOptions;

  constructor(options: StreamSinkOptions) {
    this.#options = options;
  }

  /** The tables that it writes. */
  get shapes(): readonly TableShape[] {
    return this.#options.module.definition.plan.operators.flatMap((operator) => (operator.kind === 'output' ? [shapeOf(operator.output)] : []));
  }

  // oxlint-disable require-await -- the interface's promises; a state is a file that answers at once
  async check(tables: readonly TableSchema[]): Promise<readonly Finding[]> {
    const { name, from, module } = this.#options;
    const there = new Set(tables.map(tableName));
    const missing = module.definition.plan.operators.flatMap((operator) => (operator.kind === 'table' && !there.has(operator.table) ? [operator.table] : []));
    return missing.map((table) => ({
      severity: 'error', check: 'stream', message: `the stream ${name} reads ${table}, which ${from === undefined ? 'is not captured' : `the stream ${from} does not give`}`,
      remedy: from === undefined ? `Include ${table} under source.tables, or mend the module.` : `${from} gives ${[...there].join(', ') || 'nothing'}: mend one of the modules, or leave from out to read captured tables.`,
    }));
  }

  async open(): Promise<SinkSession> {
    const { path, module, outputs, name } = this.#options;
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    const state = new State(path);
    const made = state.meta('fingerprint');
    if (made !== null && made !== module.fingerprint) {
      state.close();
      throw new TailraceError('stream-changed', `the module of the stream ${name} is another one than its state was made with`);
    }
    if (made === null) state.setMeta('fingerprint', module.fingerprint);
    return StreamSession.open({ definition: module.definition, state, outputs });
  }

  /** The stream begins anew when it opens next: its outputs are emptied and computed again. */
  async forget(): Promise<void> {
    for (const suffix of ['', '-wal', '-shm']) rmSync(`${this.#options.path}${suffix}`, { force: true });
  }

  /** Takes the module as it is for the one that the state was made with. */
  async keep(): Promise<void> {
    const { path, module, name } = this.#options;
    if (!existsSync(path)) throw new TailraceError('usage', `the stream ${name} has no state yet`);
    const state = new State(path);
    state.setMeta('fingerprint', module.fingerprint);
    state.close();
  }

  async openVerifier(): Promise<never> {
    throw new TailraceError('usage', `${this.#options.name} is a stream: verify compares replicas of tables`);
  }
}
