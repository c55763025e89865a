import type { TableSchema } from '../../event/table.ts';
import type { ByteWriter } from '../byte-writer.ts';
import type { EncodeContext } from '../codec.ts';
import { envelopeFacts } from '../envelope-facts.ts';

/**
 * Writes the parts of Debezium's envelope that say where a change comes from: `source` before the op, the times and
 * `transaction` behind it. `lsn` and `transaction.id` name the commit; `sequence` is (commit LSN, ordinal), so that it
 * ascends strictly, and `total_order` the ordinal plus one: both may skip numbers.
 */
export class EnvelopeWriter {
  #transaction: EncodeContext['transaction'] | undefined;
  #schema = '';
  #name = '';
  #snapshot = false;
  #head = '';
  #tail = '';

  source(writer: ByteWriter, context: EncodeContext, table: Pick<TableSchema, 'schema' | 'name'>, change: { op: string; ordinal: number }): void {
    const snapshot = change.op === 'r';
    // All rows of one transaction and table share this text; it is made once for them.
    if (context.transaction !== this.#transaction || table.name !== this.#name || table.schema !== this.#schema || snapshot !== this.#snapshot) {
      this.#transaction = context.transaction;
      this.#schema = table.schema;
      this.#name = table.name;
      this.#snapshot = snapshot;
      this.#build(context, table, change.op);
    }
    writer.utf8(this.#head);
    writer.ascii(String(change.ordinal));
    writer.utf8(this.#tail);
  }

  #build(context: EncodeContext, table: Pick<TableSchema, 'schema' | 'name'>, op: string): void {
    const { version, connector, name, tsUs, snapshot, db, lsn, txId } = envelopeFacts(context, op);
    const head = { version, connector, name, ts_ms: Number(tsUs / 1000n), snapshot, db };
    this.#head = `"source":${JSON.stringify(head).slice(0, -1)},"sequence":"[\\"${lsn}\\",\\"`;
    this.#tail =
      `\\"]","ts_us":${tsUs},"ts_ns":${tsUs}000,"schema":${JSON.stringify(table.schema)}` +
      `,"table":${JSON.stringify(table.name)},"txId":${txId},"lsn":${lsn},"xmin":null}`;
  }

  /** From behind `source` to the end of the envelope. */
  end(writer: ByteWriter, context: EncodeContext, op: string, ordinal: number): void {
    const { processedAt, transaction } = context;
    const order = ordinal + 1;
    writer.ascii(
      `,"op":"${op}","ts_ms":${processedAt},"ts_us":${processedAt}000,"ts_ns":${processedAt}000000` +
        `,"transaction":{"id":"${transaction.xid}:${transaction.commitLsn}","total_order":${order},"data_collection_order":${order}}}`,
    );
  }
}
