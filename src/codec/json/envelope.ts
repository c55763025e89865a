import type { TableSchema } from '../../event/table.ts';
import type { ByteWriter } from '../byte-writer.ts';
import type { EncodeContext } from '../codec.ts';
import { envelopeFacts } from '../envelope-facts.ts';

const encoder = new TextEncoder();
const none = new Uint8Array(0);
const collectionOrder = encoder.encode(',"data_collection_order":');
const close = encoder.encode('}}');

/**
 * Writes the parts of Debezium's envelope that say where a change comes from: `source` before the op, the times and
 * `transaction` behind it. `lsn` and `transaction.id` name the commit; `sequence` is (commit LSN, ordinal), so that it
 * ascends strictly, and `total_order` the ordinal plus one: both may skip numbers.
 *
 * All but these numbers and the op is the same for all rows of one transaction and table: it is made once for them, as bytes.
 */
export class EnvelopeWriter {
  #context: EncodeContext | undefined;
  #table: Pick<TableSchema, 'schema' | 'name'> | undefined;
  #snapshot = false;
  /** Of the transaction, before and behind the table's name. */
  #facts = ['', ''];
  /** From `source` to the ordinal, from there to the op, and from there to the order. */
  #head = none;
  #tail = none;
  #end = none;

  /** From behind the images to the end of the envelope. */
  write(writer: ByteWriter, context: EncodeContext, table: Pick<TableSchema, 'schema' | 'name'>, change: { readonly op: string; readonly ordinal: number }): void {
    const snapshot = change.op === 'r';
    if (context !== this.#context || snapshot !== this.#snapshot) this.#begin(context, snapshot);
    if (table !== this.#table) this.#enter(table);
    const order = change.ordinal + 1;
    writer.append(this.#head);
    writer.decimal(change.ordinal);
    writer.append(this.#tail);
    writer.byte(change.op.charCodeAt(0));
    writer.append(this.#end);
    writer.decimal(order);
    writer.append(collectionOrder);
    writer.decimal(order);
    writer.append(close);
  }

  #begin(context: EncodeContext, isSnapshot: boolean): void {
    const { version, connector, name, tsUs, snapshot, db, lsn, txId, transactionId } = envelopeFacts(context, isSnapshot ? 'r' : '');
    const { processedAt } = context;
    this.#context = context;
    this.#snapshot = isSnapshot;
    this.#table = undefined;
    const head = { version, connector, name, ts_ms: Number(tsUs / 1000n), snapshot, db };
    this.#head = encoder.encode(`"source":${JSON.stringify(head).slice(0, -1)},"sequence":"[\\"${lsn}\\",\\"`);
    this.#facts = [`\\"]","ts_us":${tsUs},"ts_ns":${tsUs}000,"schema":`, `,"txId":${txId},"lsn":${lsn},"xmin":null},"op":"`];
    this.#end = encoder.encode(`","ts_ms":${processedAt},"ts_us":${processedAt}000,"ts_ns":${processedAt}000000,"transaction":{"id":"${transactionId}","total_order":`);
  }

  #enter(table: Pick<TableSchema, 'schema' | 'name'>): void {
    const [before, behind] = this.#facts;
    this.#table = table;
    this.#tail = encoder.encode(`${before}${JSON.stringify(table.schema)},"table":${JSON.stringify(table.name)}${behind}`);
  }
}
