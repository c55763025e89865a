import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { batchOf, type PlainRecord } from '../../contract/log-samples.ts';
import { kafkaJars } from '../../support/kafka-jars.ts';
import { a0, closed, edit, segmentsOf } from './folders.ts';

/** What kafka-dump-log prints for files; undefined, said aloud, where it cannot be run. */
function dump(t: TestContext, files: readonly string[]): string | undefined {
  const jars = kafkaJars();
  if (jars.missing !== undefined) {
    t.skip(`SKIPPED: ${jars.missing}`);
    return undefined;
  }
  const options = ['--print-data-log', '--deep-iteration', '--files', files.join(',')];
  const run = spawnSync('java', ['-Dfile.encoding=UTF-8', '-cp', join(jars.libs, '*'), 'org.apache.kafka.tools.DumpLogSegments', ...options], { encoding: 'utf8', maxBuffer: 2 ** 28 });
  assert.equal(run.status, 0, run.stderr);
  return run.stdout;
}

const records: readonly PlainRecord[] = Array.from({ length: 300 }, (_, i) => ({
  timestamp: 1_700_000_000_000 + ((i * 7919) % 1000),
  key: i % 5 === 0 ? null : `key-${i}`,
  value: i % 7 === 0 ? null : `value-${i}-${'x'.repeat((i * 37) % 300)}`,
  headers: i % 3 === 0 ? {} : { e: 'x'.repeat(48), ...(i % 2 === 0 ? { second: '' } : {}) },
}));

test('kafka-dump-log reads a segment and its index, record by record', async (t) => {
  const directory = await closed(async (writer) => {
    for (let i = 0; i < records.length; ) {
      const count = 1 + (i % 13);
      await writer.append([batchOf(writer, a0, records.slice(i, i + count))]);
      i += count;
    }
  });
  const [segment = ''] = segmentsOf(directory, a0);
  const printed = dump(t, [segment, segment.replace('.log', '.index')].map((path) => join(directory, path)));
  if (printed === undefined) return;
  const found = [...printed.matchAll(/^\| offset: (\d+) CreateTime: (\d+) keySize: (-?\d+) valueSize: (-?\d+) sequence: (\d+) headerKeys: \[(.*?)\](?: key: (\S+))?(?: payload: (\S+))?$/gm)];
  assert.equal(found.length, records.length);
  for (const [i, [, offset, time, keySize, valueSize, sequence, headers, key, payload]] of found.entries()) {
    const record = records[i];
    assert.ok(record);
    assert.deepEqual(
      { offset, time, keySize, valueSize, sequence, headers, key, payload },
      {
        offset: `${i}`, time: `${record.timestamp}`, keySize: `${record.key?.length ?? -1}`, valueSize: `${record.value?.length ?? -1}`, sequence: `${i}`,
        headers: Object.keys(record.headers ?? {}).join(','), key: record.key ?? undefined, payload: record.value ?? undefined,
      },
    );
  }
  const batches = [...printed.matchAll(/^baseOffset: .* isvalid: (\w+)$/gm)].map(([, valid]) => valid);
  assert.ok(batches.length > 20 && batches.every((valid) => valid === 'true'), batches.join());
  assert.match(printed, /^offset: \d+ position: \d+$/m, 'the index has entries');
  assert.doesNotMatch(printed, /mismatch|non-consecutive|corrupt/i);
});

test('kafka-dump-log reads a compacted segment: what is left has its offsets, and every batch is valid', async (t) => {
  const directory = await closed(async (writer) => {
    // The first and the last batch go whole, one in the middle loses records, and one stays as it was.
    for (const keys of [['a', 'b'], ['b', 'c', 'd'], ['a', 'e'], ['f'], ['g', 'g']]) {
      await writer.append([batchOf(writer, a0, keys.map((key) => ({ key, value: `of ${key}`, timestamp: 1_700_000_000_000 })))]);
    }
    writer.roll?.(...a0);
    await writer.append([batchOf(writer, a0, ['c', 'g'].map((key) => ({ key, value: null, timestamp: 1_700_000_000_000 })))]);
    writer.roll?.(...a0);
    await writer.append([batchOf(writer, a0, records.slice(0, 1))]);
    await writer.compact?.(...a0, { below: 100, deleteRetention: 0 });
  });
  const [segment = ''] = segmentsOf(directory, a0);
  const printed = dump(t, [segment, segment.replace('.log', '.index')].map((path) => join(directory, path)));
  if (printed === undefined) return;
  const found = [...printed.matchAll(/^\| offset: (\d+) .* key: (\S+)/gm)].map(([, offset, key]) => `${offset} ${key}`);
  assert.deepEqual(found, ['2 b', '4 d', '5 a', '6 e', '7 f', '10 c', '11 g']);
  const batches = [...printed.matchAll(/^baseOffset: (\d+) lastOffset: (\d+) count: (\d+) .* isvalid: (\w+)$/gm)].map(([, ...fields]) => fields.join(' '));
  assert.deepEqual(batches, ['0 1 0 true', '2 4 2 true', '5 6 2 true', '7 9 1 true', '10 11 2 true']);
});

test('kafka-dump-log sees a changed byte as we do', async (t) => {
  const directory = await closed((writer) => writer.append([batchOf(writer, a0, records.slice(0, 5))]));
  const [segment = ''] = segmentsOf(directory, a0);
  edit(directory, segment, (bytes) => {
    bytes[bytes.length - 1]! ^= 1;
  });
  const printed = dump(t, [join(directory, segment)]);
  if (printed !== undefined) assert.match(printed, /isvalid: false/);
});
