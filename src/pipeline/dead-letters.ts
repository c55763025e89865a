import { tableName } from '../event/table.ts';
import { TailraceError } from '../runtime/errors.ts';
import { shortened } from '../runtime/printable.ts';
import type { Logger } from '../runtime/logger.ts';
import type { BlockedKey, SinkSession, TableChanges, TableOperation } from '../sink/sink.ts';
import { BlockedKeys, changedKeys, deadLetter } from './blocked-keys.ts';
import type { EndRecord } from './control-records.ts';
import type { SinkReporter } from './sink-start.ts';
import type { Run } from './transaction-reader.ts';

export interface DeadLetterOptions {
  readonly onError: 'stop' | 'dead-letter';
  readonly reporter: SinkReporter;
  readonly logger: Logger;
}

/** The replica refuses a row, or the log has only its key. */
export function isRefusal(error: unknown): boolean {
  return error instanceof TailraceError && (error.code === 'sink-data' || error.code === 'row-left-out');
}

/** What a run says of its changes beside them. */
export type Written = Pick<Run<unknown>, 'last' | 'leftOut'>;

function rowLeftOut({ table, changes: [change] }: TableChanges): TailraceError {
  const key = change === undefined || change.op === 't' ? '' : ` with the key ${shortened(String(changedKeys(table, change).at(-1)), 200)}`;
  return new TailraceError('row-left-out', `a row of ${tableName(table)}${table.key.length === 0 ? '' : key} was larger than the log takes, and the log has no more than its key`);
}

/** The replica cannot follow a table's change of shape. */
export function isOfShape(error: unknown): boolean {
  return error instanceof TailraceError && error.code === 'sink-shape';
}

/**
 * Writes to the sink past blocked keys, and takes aside what the replica refuses (PROTOCOL, Poison). A dead letter is
 * durable in its topic before the position passes it; its key is blocked in the replica in the same transaction.
 */
export class DeadLetters {
  readonly #options: DeadLetterOptions;
  readonly #session: SinkSession;
  readonly #blocked: BlockedKeys;

  constructor(options: DeadLetterOptions, session: SinkSession) {
    this.#options = options;
    this.#session = session;
    this.#blocked = new BlockedKeys(session.blocked);
  }

  get blockedKeys(): number {
    return this.#blocked.count;
  }

  /** Whether the error is one of the data, and the config says to take such data aside. */
  takes(error: unknown): boolean {
    return this.#options.onError === 'dead-letter' && isRefusal(error);
  }

  /** `SinkSession.write`, as long as none of the table's keys is blocked, and the log has the rows. */
  async write(changes: TableChanges, { leftOut }: Written): Promise<void> {
    if (leftOut === true) throw rowLeftOut(changes);
    if (this.#blocked.touches(tableName(changes.table))) throw new TailraceError('sink-data', `keys of ${tableName(changes.table)} are blocked`);
    await this.#session.write(changes);
  }

  /** One change after the other, all of one transaction. */
  async writeEach(changes: TableChanges, { last: { end }, leftOut }: Written): Promise<void> {
    const table = tableName(changes.table);
    for (const change of changes.changes) {
      const behind = this.#blocked.reason(changes.table, change);
      if (behind !== null && change.op !== 't') {
        await this.#bury(changes, change, { reason: behind.reason, blocks: behind.blocks, end });
        continue;
      }
      const error = leftOut === true ? rowLeftOut(changes) : await this.#session.tryWrite({ ...changes, changes: [change] });
      if (error === null) {
        if (change.op === 't' && this.#blocked.touches(table)) await this.#clear(table);
        continue;
      }
      if (change.op === 't') throw error;
      const blocks = changedKeys(changes.table, change).map((key) => ({ table, key, reason: error.message }));
      await this.#bury(changes, change, { reason: error.message, blocks, end });
    }
  }

  async #clear(table: string): Promise<void> {
    await this.#session.unblock(table);
    this.#blocked.clear(table);
  }

  async #bury(
    changes: TableChanges,
    change: Exclude<TableOperation, { readonly op: 't' }>,
    why: { readonly reason: string; readonly blocks: readonly BlockedKey[]; readonly end: EndRecord },
  ): Promise<void> {
    const { end, reason } = why;
    await this.#options.reporter.append('dead-letter', deadLetter(changes.table, change, { end, reason }));
    if (why.blocks.length > 0) await this.#session.block(why.blocks);
    for (const key of why.blocks) this.#blocked.add(key);
    this.#options.logger.warn({ table: tableName(changes.table), ordinal: change.ordinal, reason }, 'an event went to the dead-letter topic');
  }
}
