import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Codec } from '../../src/codec/codec.ts';
import { createJsonCodec } from '../../src/codec/json/index.ts';
import { createTupleCodec } from '../../src/codec/tuple/index.ts';
import type { SourceItem } from '../../src/event/change.ts';
import type { TableSchema } from '../../src/event/table.ts';
import { openEmbeddedLog } from '../../src/log/embedded/embedded-log.ts';
import type { LogReader, LogWriter } from '../../src/log/log.ts';
import { EventEncoder, Target } from '../../src/pipeline/event-encoder.ts';
import { encodeControl } from '../../src/pipeline/control-json.ts';
import { origin, type EndRecord, type StartRecord } from '../../src/pipeline/control-records.ts';
import { EndFollower } from '../../src/pipeline/end-follower.ts';
import { controlDraft, Group } from '../../src/pipeline/group.ts';
import { startIdBytes } from '../../src/pipeline/record-header.ts';
import { SchemaReader } from '../../src/pipeline/schema-reader.ts';
import type { Share } from '../../src/pipeline/partition-feed.ts';
import { TransactionReader } from '../../src/pipeline/transaction-reader.ts';
import { CopyText } from '../../src/sink/postgres/copy-text.ts';
import { OutBuffer } from '../../src/sink/postgres/out-buffer.ts';
import { StreamDecoder } from '../../src/source/postgres/stream-decoder.ts';
import { tableOf } from '../../test/contract/sink-samples.ts';
import { wire } from '../../test/source/postgres/wire-messages.ts';

export interface HotPathFigure {
  readonly what: string;
  /** Seconds of this process's CPU. */
  readonly cpu: number;
  /** Bytes of JavaScript's heap that were allocated, as far as no collection came in between. */
  readonly allocated: number;
}

const perTransaction = 1000;
const rounds = 6;
const chunkBytes = 64 << 10;
const startId = '0011223344556677';
const table: TableSchema = {
  ...tableOf({
    name: 'rows', relid: 4711,
    columns: [
      ['id', 'bigint'], ['customer', 'integer'], ['amount', 'numeric'], ['status', 'text'],
      ['note', 'text'], ['ratio', 'double precision'], ['flag', 'boolean'], ['at', 'timestamp with time zone'],
    ],
  }),
};

/** The best of some rounds. */
export async function measureHotPath(rows: number): Promise<readonly HotPathFigure[]> {
  const directory = mkdtempSync(join(tmpdir(), 'tailrace-bench-'));
  const writer = await openEmbeddedLog({ directory: join(directory, 'log') }).openWriter();
  try {
    const [topics, jsonTopics] = [await begin(writer, 'bench'), await begin(writer, 'json')];
    const reader = await openEmbeddedLog({ directory: join(directory, 'log'), shared: writer.shared }).openReader();
    const chunks = stream(rows);
    const capture = new Capture(writer, topics, createTupleCodec());
    const json = new Capture(writer, jsonTopics, createJsonCodec());
    const apply = await Apply.open(reader, topics);
    let best: readonly HotPathFigure[] = [];
    for (let round = 0; round < rounds; round++) {
      const figures = [
        await measure('copying every byte once', () => copyBytes(chunks)),
        await measure('capture: stream → batches in the log', () => capture.run(chunks)),
        await measure('apply: log → COPY data', () => apply.run()),
        await measure('capture as JSON', () => json.run(chunks)),
      ];
      // The first round is for the compiler; the least of the others is what others on the machine have disturbed least.
      best = round < 2 ? figures : figures.map((figure, i) => (figure.cpu < (best[i]?.cpu ?? 0) ? figure : (best[i] as HotPathFigure)));
    }
    await reader.close();
    return best;
  } finally {
    await writer.close();
    rmSync(directory, { recursive: true });
  }
}

async function measure(what: string, work: () => Promise<void> | void): Promise<HotPathFigure> {
  globalThis.gc?.();
  const heap = process.memoryUsage().heapUsed;
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  return { what, cpu: (user + system) / 1e6, allocated: process.memoryUsage().heapUsed - heap };
}

type Topics = Readonly<Record<'events' | 'transaction' | 'schema', string>>;

async function begin(writer: LogWriter, pipeline: string): Promise<Topics> {
  const topics = { events: `${pipeline}.${table.schema}.${table.name}`, transaction: `${pipeline}.transaction`, schema: `${pipeline}.schema` };
  for (const topic of Object.values(topics)) await writer.createTopic({ topic, partitions: 1 });
  const start: StartRecord = {
    type: 'start', logId: writer.logId, epoch: 1, startId, systemIdentifier: '1', timeline: 1, slot: 'bench', tables: ['public.rows'], continues: null, gap: null,
  };
  const { version, ...shape } = table;
  const records = [[topics.transaction, start], [topics.schema, { type: 'version', version, shape }]] as const;
  for (const [topic, record] of records) {
    const batch = writer.batch(topic, 0);
    batch.add(controlDraft(encodeControl(record), 0));
    await writer.append([batch]);
  }
  return topics;
}

/** As a walsender sends them, in chunks as a socket delivers them. */
function stream(rows: number): readonly Buffer[] {
  const parts: Uint8Array[] = [];
  for (let id = 0; id < rows; id++) {
    const transaction = BigInt(Math.floor(id / perTransaction) + 1) * 1000n;
    if (id % perTransaction === 0) parts.push(wire.begin(transaction, id));
    parts.push(wire.insert(table.relid, [
      String(id), String(id % 1000), `${id % 100_000}.25`, `status ${id % 7}`, 'a note of ninety-six characters, of which none minds any format '.padEnd(96, String(id)),
      String(id / 7), id % 2 === 0 ? 't' : 'f', '2024-01-31 10:00:00.123456+00',
    ]));
    if (id % perTransaction === perTransaction - 1) parts.push(wire.commit(transaction, transaction + 10n));
  }
  const all = Buffer.concat(parts);
  return Array.from({ length: Math.ceil(all.length / chunkBytes) }, (_, i) => all.subarray(i * chunkBytes, (i + 1) * chunkBytes));
}

/** The reference: what nobody can do without. */
function copyBytes(chunks: readonly Buffer[]): void {
  const to = new Uint8Array(chunkBytes);
  for (const chunk of chunks) for (let i = 0; i < chunk.length; i++) to[i] = chunk[i] as number;
}

class Capture {
  readonly #writer: LogWriter;
  readonly #topics: Topics;
  readonly #encoder: EventEncoder;
  readonly #target: Target;
  #previous = origin;
  #lsn = 0n;

  constructor(writer: LogWriter, topics: Topics, codec: Codec) {
    this.#writer = writer;
    this.#topics = topics;
    this.#encoder = new EventEncoder(codec, { pipeline: 'bench', database: 'bench' }, () => 0);
    this.#target = new Target(table, topics.events, { partitions: 1 });
  }

  async run(chunks: readonly Buffer[]): Promise<void> {
    const decoder = new StreamDecoder();
    decoder.setShape(table.relid, table);
    // Each run goes on behind the last one.
    const base = this.#lsn;
    let group = new Group(this.#writer, this.#topics.transaction);
    for (let i = 0; i < chunks.length; i++) {
      const items: SourceItem[] = [];
      decoder.push(chunks[i] as Buffer);
      decoder.decode(items);
      for (const item of items) this.#take(group, item, base);
      if (i % 16 !== 15) continue;
      await group.append();
      group = new Group(this.#writer, this.#topics.transaction);
    }
    await group.append();
  }

  #take(group: Group, item: SourceItem, base: bigint): void {
    switch (item.op) {
      case 'begin':
        this.#encoder.begin({ ...item, commitLsn: item.commitLsn + base }, startIdBytes(startId), 1);
        break;
      case 'c':
        this.#encoder.row(group, this.#target, item);
        break;
      case 'commit': {
        const place = { epoch: 1, commitLsn: item.commitLsn + base };
        const end = { type: 'end' as const, startId, ...place, endLsn: item.endLsn + base, commitTime: 0n, previous: this.#previous, snapshot: null };
        group.end({ end, extents: this.#encoder.extents() });
        this.#previous = place;
        this.#lsn = place.commitLsn;
        break;
      }
      default:
    }
  }
}

class Apply {
  readonly #follower: EndFollower;
  readonly #events: TransactionReader;
  readonly #out = new OutBuffer(320 << 10);
  readonly #copyText = new CopyText({ leftOut: null });

  private constructor(follower: EndFollower, events: TransactionReader) {
    this.#follower = follower;
    this.#events = events;
  }

  static async open(reader: LogReader, topics: Topics): Promise<Apply> {
    const schemas = new SchemaReader(reader, topics.schema);
    const follower = await EndFollower.behind(reader, topics.transaction, null);
    return new Apply(follower, new TransactionReader(reader, schemas, createTupleCodec()));
  }

  async run(): Promise<void> {
    for (;;) {
      const steps = await this.#follower.next(4 << 20, 4096);
      if (steps.length === 0) return;
      const shares = steps.flatMap(({ end }: { end: EndRecord }): Share<string>[] => end.parts.map((part) => ({ end, part, tag: 'complete' })));
      if (shares.length === 0) continue;
      for await (const run of this.#events.read(shares, 1 << 20)) {
        for (const change of run.changes) {
          if (change.op === 't') continue;
          this.#copyText.append(this.#out, change.bytes, change.newAt, change.end);
          if (this.#out.length >= 256 << 10) this.#out.length = 0;
        }
      }
    }
  }
}
