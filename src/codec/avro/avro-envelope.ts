import type { TableSchema } from '../../event/table.ts';
import { ByteWriter } from '../byte-writer.ts';
import type { EncodeContext } from '../codec.ts';
import { envelopeFacts } from '../envelope-facts.ts';
import { writeAscii, writeBigLong, writeLong, writeUtf8 } from './avro-bytes.ts';

/** The branch that is not null, in a union of null and one type. */
export const PRESENT = 2;
export const NULL = 0;

/** Writes everything in the envelope behind the images (avro-schema.ts): `source`, `op`, the times and `transaction`. */
export class AvroEnvelopeWriter {
  #context: EncodeContext | undefined;
  #schema = '';
  #name = '';
  #snapshot = false;
  #lsn = '';
  /** What all rows of one transaction and table share: `source` up to its sequence, from there on, the times, and the id. */
  readonly #head = new ByteWriter();
  readonly #tail = new ByteWriter();
  readonly #times = new ByteWriter();

  write(writer: ByteWriter, context: EncodeContext, table: Pick<TableSchema, 'schema' | 'name'>, change: { op: string; ordinal: number }): void {
    const snapshot = change.op === 'r';
    if (context !== this.#context || table.name !== this.#name || table.schema !== this.#schema || snapshot !== this.#snapshot) {
      this.#context = context;
      this.#schema = table.schema;
      this.#name = table.name;
      this.#snapshot = snapshot;
      this.#build(context, table, change.op);
    }
    const { ordinal } = change;
    append(writer, this.#head);
    const place = String(ordinal);
    writer.byte(PRESENT);
    writeLong(writer, this.#lsn.length + place.length + 7);
    writer.ascii(`["${this.#lsn}","${place}"]`);
    append(writer, this.#tail);
    writer.byte(PRESENT); // the length 1 of the op, which is a text
    writer.byte(change.op.charCodeAt(0));
    append(writer, this.#times);
    writeLong(writer, ordinal + 1);
    writeLong(writer, ordinal + 1);
  }

  #build(context: EncodeContext, table: Pick<TableSchema, 'schema' | 'name'>, op: string): void {
    const facts = envelopeFacts(context, op);
    const { processedAt } = context;
    const optional = (writer: ByteWriter, value: bigint): void => {
      writer.byte(PRESENT);
      writeBigLong(writer, value);
    };
    this.#lsn = facts.lsn.toString();

    const head = this.#head;
    head.reset();
    writeUtf8(head, facts.version);
    writeUtf8(head, facts.connector);
    writeUtf8(head, facts.name);
    writeBigLong(head, facts.tsUs / 1000n);
    head.byte(PRESENT);
    writeAscii(head, facts.snapshot);
    writeUtf8(head, facts.db);

    const tail = this.#tail;
    tail.reset();
    optional(tail, facts.tsUs);
    optional(tail, facts.tsUs * 1000n);
    writeUtf8(tail, table.schema);
    writeUtf8(tail, table.name);
    optional(tail, BigInt(facts.txId));
    optional(tail, facts.lsn);
    tail.byte(NULL); // xmin

    const times = this.#times;
    times.reset();
    optional(times, BigInt(processedAt));
    optional(times, BigInt(processedAt) * 1000n);
    optional(times, BigInt(processedAt) * 1_000_000n);
    times.byte(PRESENT);
    writeAscii(times, facts.transactionId);
  }
}

function append(writer: ByteWriter, part: ByteWriter): void {
  writer.copy(part.bytes, 0, part.length);
}
