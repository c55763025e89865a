import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import fc from 'fast-check';
import { newEncoded, type Codec, type EncodeContext } from '../../src/codec/codec.ts';
import { createJsonCodec } from '../../src/codec/json/index.ts';
import { createTupleCodec } from '../../src/codec/tuple/index.ts';
import type { TableSchema } from '../../src/event/table.ts';
import { isPartial, tupleTexts } from '../../src/event/tuple.ts';
import { openEmbeddedLog } from '../../src/log/embedded/embedded-log.ts';
import type { LogReader, LogWriter, RecordDraft } from '../../src/log/log.ts';
import { encodeControl } from '../../src/pipeline/control-json.ts';
import { controlDraft } from '../../src/pipeline/group.ts';
import { extraHeaderName, headerName, HeaderWriter, startIdBytes, type Half } from '../../src/pipeline/record-header.ts';
import { SchemaReader } from '../../src/pipeline/schema-reader.ts';
import { KeyFilter } from '../../src/pipeline/whole/key-filter.ts';
import { copyRecord, decodeCopy } from '../../src/pipeline/whole/record-copy.ts';
import { WholeRows, type WholeRowsLimits } from '../../src/pipeline/whole/whole-rows.ts';
import { changeOf, tableOf, type ChangeSpec, type Texts } from '../contract/change-samples.ts';
import { tempDirectory } from '../support/temp.ts';

const before = tableOf([['id', 25], ['n', 25], ['big', 25], ['other', 25]]);
/** A column was dropped and another one added: what is left keeps its number. */
const after: TableSchema = { ...before, columns: [...before.columns.filter(({ name }) => name !== 'n'), { ...before.columns[1], name: 'added', attnum: 5 } as TableSchema['columns'][0]], version: { epoch: 1, number: 2 } };
const full: TableSchema = { ...before, replicaIdentity: 'full' };

type Row = readonly [id: string, n: string, big: string, other: string];
type Step =
  | { readonly op: 'insert'; readonly id: number }
  | { readonly op: 'update'; readonly id: number }
  | { readonly op: 'delete'; readonly id: number }
  | { readonly op: 'read'; readonly id: number }
  /** `lacks`: which of big and other come absent. */
  | { readonly op: 'partial'; readonly id: number; readonly lacks: 'big' | 'other' | 'both'; readonly full: boolean }
  | { readonly op: 'move'; readonly id: number; readonly to: number; readonly lacks: 'big' | 'both' | 'none' }
  | { readonly op: 'truncate' }
  | { readonly op: 'commit' };

/** What the publisher would have written, and what each event's new row is as a whole. */
interface Event {
  readonly spec: ChangeSpec | 't';
  readonly whole: Row | null;
  /** The table's second version. */
  readonly late: boolean;
}

/** Plays the steps on a table in memory; impossible ones are left out. Transactions of events. */
function play(steps: readonly Step[]): Event[][] {
  const rows = new Map<string, Row>();
  const transactions: Event[][] = [[]];
  let serial = 0;
  for (const [i, step] of steps.entries()) {
    const late = i > steps.length / 2;
    const fresh = (what: string): string => `${what}${++serial}`;
    const add = (spec: ChangeSpec | 't', whole: Row | null): unknown => transactions.at(-1)?.push({ spec, whole, late });
    if (step.op === 'commit') {
      if (transactions.at(-1)?.length !== 0) transactions.push([]);
      continue;
    }
    if (step.op === 'truncate') {
      rows.clear();
      add('t', null);
      continue;
    }
    const id = `k${step.id}`;
    const row = rows.get(id);
    if (step.op === 'insert' || step.op === 'read') {
      if ((row === undefined) !== (step.op === 'insert')) continue;
      const next: Row = step.op === 'read' ? (row as Row) : [id, fresh('n'), fresh('big'), fresh('other')];
      rows.set(id, next);
      add({ op: step.op === 'read' ? 'r' : 'c', new: next }, next);
    } else if (row === undefined) continue;
    else if (step.op === 'delete') {
      rows.delete(id);
      add({ op: 'd', old: [id, null, null, null] }, null);
    } else if (step.op === 'update') {
      const next: Row = [id, fresh('n'), fresh('big'), fresh('other')];
      rows.set(id, next);
      add({ op: 'u', new: next }, next);
    } else if (step.op === 'partial') {
      const next: Row = [id, fresh('n'), step.lacks === 'other' ? fresh('big') : row[2], step.lacks === 'big' ? fresh('other') : row[3]];
      const sent: Texts = [id, next[1], step.lacks === 'other' ? next[2] : undefined, step.lacks === 'big' ? next[3] : undefined];
      rows.set(id, next);
      add({ op: 'u', new: sent, ...(step.full ? { old: row, oldKind: 'full' as const } : {}) }, next);
    } else if (step.op === 'move') {
      const to = `k${step.to}`;
      if (rows.has(to)) continue;
      const next: Row = [to, fresh('n'), step.lacks === 'none' ? fresh('big') : row[2], step.lacks === 'both' ? row[3] : fresh('other')];
      rows.delete(id);
      rows.set(to, next);
      add({ op: 'u', old: [id, null, null, null], new: [to, next[1], step.lacks === 'none' ? next[2] : undefined, step.lacks === 'both' ? undefined : next[3]] }, next);
    }
  }
  return transactions.filter((events) => events.length > 0);
}

/** The same texts under the table's second version, where column n is gone and another one was added. */
const late = (texts: Texts): Texts => [texts[0], texts[2], texts[3], texts[1]];

class Written {
  readonly reader: LogReader;
  readonly #writer: LogWriter;
  readonly #codec: Codec;
  /** By offset, for records that an END would name: what the new row is; undefined for old halves and leftovers. */
  readonly expected = new Map<number, Event>();

  private constructor(writer: LogWriter, reader: LogReader, codec: Codec) {
    this.#writer = writer;
    this.reader = reader;
    this.#codec = codec;
  }

  static async open(t: TestContext, codec: Codec): Promise<Written> {
    const ends: (() => Promise<void>)[] = [];
    t.after(async () => {
      for (const end of ends) await end();
    });
    const log = openEmbeddedLog({ directory: await tempDirectory(t), segmentSize: 65_536 });
    const writer = await log.openWriter();
    for (const topic of ['shop.schema', 'shop.public.items']) await writer.createTopic({ topic, partitions: 1 });
    const batch = writer.batch('shop.schema', 0);
    for (const { version, ...shape } of [before, after]) batch.add(controlDraft(encodeControl({ type: 'version', version, shape }), 0));
    await writer.append([batch]);
    const reader = await log.openReader();
    ends.push(() => reader.close(), () => writer.close());
    return new Written(writer, reader, codec);
  }

  /** Writes transactions `from` to below `to` under a START; `named`: whether their ENDs are there. */
  async write(transactions: readonly Event[][], of: { readonly start: number; readonly from: number; readonly to: number; readonly named: boolean }): Promise<void> {
    for (let i = of.from; i < Math.min(of.to, transactions.length); i++) {
      let offset = this.#writer.range('shop.public.items', 0).end;
      const batch = this.#writer.batch('shop.public.items', 0);
      for (const [ordinal, event] of (transactions[i] as Event[]).entries()) {
        for (const draft of this.#drafts(event, { start: of.start, commitLsn: BigInt(100 + i * 10), ordinal })) {
          batch.add(draft.draft);
          if (of.named && draft.half !== 'old' && draft.draft.value.start >= 0) this.expected.set(offset, event);
          offset++;
        }
      }
      await this.#writer.append([batch]);
    }
  }

  *#drafts(event: Event, at: { readonly start: number; readonly commitLsn: bigint; readonly ordinal: number }): Generator<{ draft: RecordDraft; half: Half }> {
    const { ordinal } = at;
    const context: EncodeContext = { pipeline: 'shop', database: 'shop', processedAt: 1, transaction: { op: 'begin', commitLsn: at.commitLsn, commitTime: 1n, xid: 1 } };
    const table = event.late ? after : before;
    const out = newEncoded();
    const header = new HeaderWriter(this.#codec.id);
    header.begin(startIdBytes(String(at.start).padStart(16, '0')), 1, at.commitLsn);
    const draft = (op: 'c' | 'u' | 'd' | 'r' | 't', half: Half, partial: boolean): { draft: RecordDraft; half: Half } => {
      header.change(op, ordinal, table.version, { partial, half });
      const own = { bytes: header.bytes.slice(), start: 0, end: header.bytes.length };
      const copy = ({ bytes, start, end }: RecordDraft['key']): RecordDraft['key'] => (start < 0 ? { bytes, start, end } : { bytes: bytes.slice(start, end), start: 0, end: end - start });
      return { half, draft: { timestamp: 0, key: copy(out.key), value: copy(out.value), headers: [{ name: headerName, value: own }, { name: extraHeaderName, value: copy(out.extra) }] } };
    };
    if (event.spec === 't') {
      this.#codec.encodeTruncate({ op: 't', tables: [table], ordinal, cascade: false, restartIdentity: false }, table, context, out);
      yield draft('t', 'whole', false);
      return;
    }
    const spec = event.late ? { ...event.spec, new: event.spec.new && late(event.spec.new), old: event.spec.old && late(event.spec.old) } : event.spec;
    const change = { ...changeOf(event.late ? after : spec.oldKind === 'full' ? full : before, { ...spec, ordinal }), table };
    const moves = spec.op === 'u' && spec.old !== undefined && spec.oldKind !== 'full';
    if (moves) {
      this.#codec.encodeOldHalf(change, table, context, out);
      yield draft('d', 'old', false);
      if (this.#codec.tombstones) yield this.#tombstone(out.key);
    }
    this.#codec.encodeRow(change, table, context, out);
    yield draft(spec.op, moves ? 'new' : 'whole', change.newAt >= 0 && isPartial(change.bytes, change.newAt));
    if (spec.op === 'd' && this.#codec.tombstones) yield this.#tombstone(out.key);
  }

  #tombstone({ bytes, start, end }: RecordDraft['key']): { draft: RecordDraft; half: Half } {
    return { half: 'whole', draft: { timestamp: 0, key: { bytes: bytes.slice(start, end), start: 0, end: end - start }, value: { bytes, start: -1, end: -1 }, headers: [] } };
  }

  /** Reads from an offset on, all records or those alone that ENDs name, and compares every new row. */
  async check(from: number, options: { readonly namedOnly: boolean; readonly limits: Partial<WholeRowsLimits> }): Promise<void> {
    const schemas = new SchemaReader(this.reader, 'shop.schema');
    const rows = new WholeRows({ reader: this.reader, schemas, codec: () => this.#codec, limits: options.limits });
    const { end } = await this.reader.range('shop.public.items', 0);
    for (let offset = from; offset < end; ) {
      const cursor = await this.reader.fetch('shop.public.items', 0, offset, 4096);
      while (cursor.next()) {
        const event = this.expected.get(cursor.offset);
        if (cursor.offset < offset || (options.namedOnly && event === undefined)) continue;
        const record = copyRecord(cursor);
        if (record === null || record.half === 'old') continue;
        if (record.op === 't') {
          rows.truncated('shop.public.items', 0);
          continue;
        }
        const table = await schemas.get(record.version);
        const whole = await rows.pass({ topic: 'shop.public.items', partition: 0, record, change: decodeCopy(record, table, this.#codec) });
        if (event === undefined) continue;
        assert.ok(whole !== null, `offset ${cursor.offset} from ${from}: the log has what ${JSON.stringify(event)} lacks`);
        const texts = whole.newAt < 0 ? null : tupleTexts(whole.bytes, whole.newAt);
        assert.deepEqual(texts, event.whole && (event.late ? late(event.whole) : event.whole), `offset ${cursor.offset} from ${from}`);
      }
      offset = cursor.nextOffset;
    }
  }
}

const id = fc.integer({ min: 0, max: 7 });
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 40, arbitrary: fc.record({ op: fc.constantFrom('insert', 'insert', 'update', 'delete', 'read'), id }) },
  { weight: 50, arbitrary: fc.record({ op: fc.constant('partial'), id, lacks: fc.constantFrom('big', 'other', 'both'), full: fc.boolean() }) },
  { weight: 30, arbitrary: fc.record({ op: fc.constant('move'), id, to: id, lacks: fc.constantFrom('big', 'both', 'none') }) },
  { weight: 20, arbitrary: fc.constant<Step>({ op: 'commit' }) },
  { weight: 3, arbitrary: fc.constant<Step>({ op: 'truncate' }) },
);
/** After so many transactions the publisher dies, so many more of which it has written without ENDs. */
const crashes = fc.array(fc.record({ after: fc.integer({ min: 1, max: 6 }), left: fc.integer({ min: 0, max: 4 }) }), { maxLength: 4 });

for (const create of [createTupleCodec, createJsonCodec]) {
  test(`an update that lacks columns is completed from the log, whatever happened to its row before (${create().name})`, async (t) => {
    const written = (): Promise<Written> => Written.open(t, create());
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 80 }), crashes, fc.nat(), async (steps, faults, somewhere) => {
        const log = await written();
        const transactions = play(steps);
        let from = 0;
        let start = 1;
        for (const { after: count, left } of faults) {
          await log.write(transactions, { start, from, to: from + count, named: true });
          from = Math.min(from + count, transactions.length);
          await log.write(transactions, { start, from, to: from + left, named: false });
          start++;
        }
        await log.write(transactions, { start, from, to: transactions.length, named: true });
        const { end } = await log.reader.range('shop.public.items', 0);
        for (const limits of [{}, { rangeBytes: 300, views: 1, filterBytes: 64, rowBytes: 300 }]) {
          for (const namedOnly of [true, false]) {
            await log.check(0, { namedOnly, limits });
            await log.check(end === 0 ? 0 : somewhere % end, { namedOnly, limits: { ...limits, rowBytes: 0 } });
          }
        }
      }),
      { numRuns: 30 },
    );
  });
}

test('a filter knows every key that it was made of, and takes few others for one of them', () => {
  const hashes = Array.from({ length: 5000 }, (_, i) => Math.imul(i + 1, 0x9e3779b1) >>> 0);
  const filter = new KeyFilter(hashes.slice(0, 2500));
  assert.ok(hashes.slice(0, 2500).every((hash) => filter.mayHave(hash)));
  assert.ok(hashes.slice(2500).filter((hash) => filter.mayHave(hash)).length < 50);
});
