import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { createTupleCodec } from '../../src/codec/tuple/index.ts';
import type { SourceItem } from '../../src/event/change.ts';
import { lsn } from '../../src/event/lsn.ts';
import type { Column, TableShape } from '../../src/event/table.ts';
import { tupleOf, tupleTexts } from '../../src/event/tuple.ts';
import { embeddedLogConfig } from '../../src/log/embedded/config.ts';
import { createEmbeddedLog } from '../../src/log/embedded/index.ts';
import type { LogReader, RecordCursor } from '../../src/log/log.ts';
import { records } from '../../src/pipeline/log-state.ts';
import { Publisher } from '../../src/pipeline/publisher.ts';
import { headerName } from '../../src/pipeline/record-header.ts';
import { silentLogger } from '../../src/runtime/logger.ts';
import type { Source, SourceSession } from '../../src/source/source.ts';
import { fillBlock, holdFile } from '../support/held-file.ts';
import { stillCatalog } from '../support/scripted-source.ts';
import { tempDirectory } from '../support/temp.ts';

function tableOf(relid: number, name: string, columns: readonly (readonly [name: string, oid: number, type: string])[]): TableShape {
  const column = ([own, oid, type]: (typeof columns)[number], i: number): Column => ({
    name: own, attnum: i + 1, typeOid: oid, typmod: -1, type, baseTypeOid: oid, notNull: i === 0,
  });
  return { relid, schema: 'public', name, columns: columns.map(column), key: [0], replicaIdentity: 'default' };
}
const orders = tableOf(16391, 'orders', [['id', 23, 'integer'], ['customer', 23, 'integer'], ['total', 1700, 'numeric']]);
const customers = tableOf(16385, 'customers', [['id', 23, 'integer'], ['spent', 1700, 'numeric'], ['notes', 25, 'text']]);

/** One transaction: an order, its customer's total (whose long `notes` Postgres does not send again), another order. */
function transaction(): SourceItem[] {
  const row = (table: TableShape, ordinal: number, texts: readonly (string | undefined)[]): SourceItem => {
    const bytes = tupleOf(texts);
    return { op: table === orders ? 'c' : 'u', table, ordinal, bytes, oldKind: 'none', oldAt: -1, newAt: 0, end: bytes.length };
  };
  const at = { commitLsn: lsn('0/16B3748'), commitTime: 1_769_860_800_123_456n };
  return [
    { op: 'begin', ...at, xid: 757 },
    row(orders, 0, ['7', '1', '12.50']),
    row(customers, 1, ['1', '12.50', undefined]),
    row(orders, 2, ['8', '1', '99.00']),
    { op: 'commit', ...at, endLsn: lsn('0/16B3778') },
    { op: 'keepalive', walEnd: lsn('0/16B4000') },
  ];
}

function sourceOf(items: readonly SourceItem[]): Source {
  const unused = async (): Promise<never> => assert.fail('not asked for here');
  const session: SourceSession = {
    server: {
      systemIdentifier: '7412345678901234567', timeline: 1, timelineSwitch: undefined, slot: 'tailrace_shop',
      confirmedFlush: lsn('0/16B3520'), walFlushed: lsn('0/16B4000'), slotCreated: true, database: 'shop',
    },
    tables: [orders, customers],
    leftOut: [],
    batches: async function* () {
      yield items;
    },
    acknowledge: () => {},
    catalog: stillCatalog(),
    snapshots: { entered: unused, watermark: unused, chunk: unused, checkWhere: unused, boundaries: unused, whole: unused, estimate: unused },
    discover: async () => [],
    health: unused,
    stop: () => {},
    close: async () => {},
  };
  return { check: async () => ({ findings: [], tables: [] }), connect: async () => session, slotHealth: unused, teardown: async () => [], openVerifier: unused };
}

/** Long JSON, broken behind commas between members. */
function wrapped(json: string): string {
  const lines = [''];
  for (const member of json.split(/(?<=,)(?=")/)) {
    const line = lines.at(-1) as string;
    if (line !== '' && line.length + member.length > 112) lines.push(member);
    else lines[lines.length - 1] = line + member;
  }
  return lines.join('\n    ');
}

function eventText(cursor: RecordCursor): string {
  const out = { bytes: new Uint8Array(0), start: 0, end: 0 };
  assert.ok(cursor.header(headerName, out));
  const bytes = Buffer.from(out.bytes.subarray(out.start, out.end));
  const fields = [1, 1, 1, 1, 8, 4, 8, 8, 4, 4];
  let at = 0;
  const header = fields.map((size) => bytes.toString('hex', at, (at += size))).join(' ');
  const { key, value } = cursor;
  const texts = tupleTexts(value.bytes, value.start).map((text) => (text === undefined ? 'absent' : (text ?? 'NULL')));
  return `header ${header}\n    key    ${Buffer.from(key.bytes.subarray(key.start, key.end)).toString('hex')}\n    value  ${texts.join(', ')}`;
}

async function render(reader: LogReader, topic: string): Promise<string> {
  const lines: string[] = [];
  for await (const cursor of records(reader, topic)) {
    const { bytes, start, end } = cursor.value;
    const text = topic.startsWith('shop.public.') ? eventText(cursor) : wrapped(Buffer.from(bytes.subarray(start, end)).toString());
    lines.push(`${String(cursor.offset).padEnd(4)}${text}`);
  }
  return `${topic}\n${lines.join('\n')}\n`;
}

async function example(t: TestContext): Promise<string> {
  const log = createEmbeddedLog(embeddedLogConfig.parse({ directory: await tempDirectory(t) }));
  const publisher = await Publisher.open({
    pipeline: 'shop', source: sourceOf(transaction()), log, codec: createTupleCodec(), snapshot: 'never', onGap: 'stop', copyParallel: 1, sinks: [], logger: silentLogger,
  });
  await publisher.publish(new AbortController().signal, () => {});
  const topics = ['shop.transaction', 'shop.schema', 'shop.public.orders', 'shop.public.customers'];
  const texts = await Promise.all(topics.map((topic) => render(publisher.reader, topic)));
  await publisher.close();
  const text = texts.join('\n');
  // The two random names stand for any.
  const startId = /"startId":"(\w+)"/.exec(text)?.[1] ?? '';
  return text.replaceAll(startId, '5ab07c1de2f39864').replaceAll(publisher.writer.logId, '0f8fad5b-d9cb-469f-a165-70867728950e');
}

test("the protocol page's example is what the publisher writes", async (t) => {
  const written = await example(t);
  holdFile('docs/protocol.md', (page) => fillBlock(page, 'example', `\`\`\`text\n${written}\`\`\``));
});
