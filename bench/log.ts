/**
 * The embedded log beside plain file writes of the same bytes: `node bench/log.ts [--rows N]`. Records of 250 bytes with one
 * header of 48, a thousand to a batch and a batch to an append, each durable by one fdatasync.
 */
import { closeSync, fdatasync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { openEmbeddedLog } from '../src/log/embedded/embedded-log.ts';
import type { LogReader, LogWriter, RecordDraft } from '../src/log/log.ts';
import { options } from './support/options.ts';

const records = options.rows ?? 1_000_000;
const perBatch = 1000;
const sync = promisify(fdatasync);

function draftOf(size: number): RecordDraft {
  const bytes = Buffer.alloc(size + 64, 0x61);
  return {
    timestamp: Date.now(),
    key: { bytes, start: 0, end: 8 },
    value: { bytes, start: 8, end: size },
    headers: [{ name: 'e', value: { bytes, start: size, end: size + 48 } }],
  };
}

interface Measured {
  readonly seconds: number;
  readonly cpu: number;
}

async function measure(run: () => Promise<unknown>): Promise<Measured> {
  const cpu = process.cpuUsage();
  const start = performance.now();
  await run();
  const { user, system } = process.cpuUsage(cpu);
  return { seconds: (performance.now() - start) / 1000, cpu: (user + system) / 1e6 };
}

function report(what: string, { seconds, cpu }: Measured, bytes: number): void {
  const rate = Math.round(records / seconds).toLocaleString('en');
  const perRecord = ((cpu / records) * 1e6).toFixed(2);
  console.log(`${what.padEnd(44)} ${rate.padStart(11)} records/s  ${perRecord.padStart(5)} µs CPU/record  ${(bytes / seconds / 2 ** 20).toFixed(0).padStart(5)} MiB/s`);
}

async function encode(writer: LogWriter): Promise<void> {
  const draft = draftOf(250);
  for (let n = 0; n < records; n += perBatch) {
    const batch = writer.batch('t', 0);
    for (let i = 0; i < perBatch; i++) batch.add(draft);
  }
}

async function append(writer: LogWriter, overlapped: boolean): Promise<void> {
  const draft = draftOf(250);
  let before: Promise<unknown> = Promise.resolve();
  for (let n = 0; n < records; n += perBatch) {
    const batch = writer.batch('t', 0);
    for (let i = 0; i < perBatch; i++) batch.add(draft);
    await before;
    before = writer.append([batch]);
    if (!overlapped) await before;
  }
  await before;
}

async function plain(directory: string): Promise<void> {
  const bytes = Buffer.alloc(perBatch * 316, 0x61);
  const fd = openSync(join(directory, 'plain'), 'w');
  for (let n = 0; n < records; n += perBatch) {
    writeSync(fd, bytes, 0, bytes.length);
    await sync(fd);
  }
  closeSync(fd);
}

async function readBack(reader: LogReader, from: number): Promise<number> {
  const header = { bytes: new Uint8Array(0), start: 0, end: 0 };
  const { end } = await reader.range('t', 0);
  let sum = 0;
  for (let offset = from; offset < end; ) {
    const cursor = await reader.fetch('t', 0, offset, 1024 * 1024);
    while (cursor.next()) if (cursor.header('e', header)) sum += cursor.value.end - cursor.value.start + (header.bytes[header.start] ?? 0);
    offset = cursor.nextOffset;
  }
  return sum;
}

/** From the moment that a small append is asked for to the moment that a reader has it. */
async function latency(writer: LogWriter, reader: LogReader): Promise<void> {
  const draft = draftOf(250);
  const { signal } = new AbortController();
  const appended: number[] = [];
  const seen: number[] = [];
  for (let n = 0; n < 1000; n++) {
    const { end } = writer.range('l', 0);
    const wait = reader.wait('l', 0, end, signal).then(() => reader.fetch('l', 0, end, 65_536)).then(() => performance.now());
    const batch = writer.batch('l', 0);
    batch.add(draft);
    const start = performance.now();
    await writer.append([batch]);
    appended.push(performance.now() - start);
    seen.push((await wait) - start);
  }
  const at = (values: number[], part: number): string => (values.toSorted((a, b) => a - b)[Math.floor(values.length * part)] ?? 0).toFixed(2);
  console.log(`one record, durable: p50 ${at(appended, 0.5)} ms, p99 ${at(appended, 0.99)} ms; read: p50 ${at(seen, 0.5)} ms, p99 ${at(seen, 0.99)} ms`);
}

const directory = mkdtempSync(join(tmpdir(), 'tailrace-bench-'));
try {
  const writer = await openEmbeddedLog({ directory: join(directory, 'log') }).openWriter();
  for (const topic of ['t', 'l']) await writer.createTopic({ topic, partitions: 1 });
  await encode(writer);
  report('encode only', await measure(() => encode(writer)), records * 316);
  report('plain write + fdatasync of the same bytes', await measure(() => plain(directory)), records * 316);
  report('append, awaited', await measure(() => append(writer, false)), records * 316);
  report('append, the next batch filled meanwhile', await measure(() => append(writer, true)), records * 316);
  const reader = await openEmbeddedLog({ directory: join(directory, 'log'), shared: writer.shared }).openReader();
  await readBack(reader, records);
  report('read back, header and value of each', await measure(() => readBack(reader, records)), records * 316);
  await latency(writer, reader);
  await reader.close();
  const closing = await measure(() => writer.close());
  console.log(`close ${(closing.seconds * 1000).toFixed(0)} ms`);
} finally {
  rmSync(directory, { recursive: true });
}
