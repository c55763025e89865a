import { tableName } from '../../event/table.ts';
import type { RecordCursor } from '../../log/log.ts';
import { TailraceError } from '../../runtime/errors.ts';
import type { TableChanges, TableOperation } from '../../sink/sink.ts';
import { ownTag } from '../commit-order.ts';
import type { Share } from '../partition-feed.ts';
import type { Completer } from '../transaction-reader.ts';
import { copyRecord, type RecordCopy } from './record-copy.ts';
import type { WholeRows } from './whole-rows.ts';

type Coverage = TableChanges['coverage'];

/** For a sink that needs whole rows: what cannot be completed is judged as a missing row is by sinks that lay columns over rows. */
export class RowCompleter implements Completer {
  readonly #rows: WholeRows;
  /** Changes that were left out because `snapshot: never` has no row for them. */
  missing = 0;

  constructor(rows: WholeRows) {
    this.#rows = rows;
  }

  take(cursor: RecordCursor, change: TableOperation, { part, tag }: Share<unknown>): TableOperation | null | Promise<TableOperation | null> {
    const { topic, partition } = part;
    const coverage = ownTag<Coverage>(tag);
    if (change.op === 't') {
      this.#rows.truncated(topic, partition);
      return change;
    }
    // What has no header is no event, and never comes here.
    const whole = this.#rows.pass({ topic, partition, record: copyRecord(cursor) as RecordCopy, change });
    return whole instanceof Promise ? whole.then((row) => row ?? this.#left(change, coverage)) : (whole ?? this.#left(change, coverage));
  }

  #left(change: Exclude<TableOperation, { op: 't' }>, coverage: Coverage): null {
    switch (coverage) {
      case 'copying':
        // A later chunk of the copy brings the row.
        return null;
      case 'partial':
        this.missing++;
        return null;
      case 'complete':
        throw new TailraceError('row-incomplete', `an update of ${tableName(change.table)} lacks columns that the log no longer holds`);
    }
  }
}
