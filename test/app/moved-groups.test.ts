import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { moveGroups } from '../../src/app/moved-groups.ts';
import { openEmbeddedLog } from '../../src/log/embedded/embedded-log.ts';
import type { Log } from '../../src/log/log.ts';
import { tempDirectory } from '../support/temp.ts';

const topic = 'shop.public.items';
const begin = Date.UTC(2026, 0, 31);

/** A record by its number, and in which partition each log has it. */
interface Item {
  readonly at: number;
  readonly old: number;
  readonly made: number;
}

/** A log whose topic has these records, each where `partition` says; returns where they stand. */
async function fill(directory: string, items: readonly Item[], of: { readonly partitions: number; readonly partition: (item: Item) => number }): Promise<{ readonly log: Log; readonly places: readonly { readonly partition: number; readonly offset: number }[] }> {
  const log = openEmbeddedLog({ directory });
  const writer = await log.openWriter();
  await writer.createTopic({ topic, partitions: of.partitions });
  const ends = new Map<number, number>();
  const places = [];
  for (const item of items) {
    const partition = of.partition(item) % of.partitions;
    const batch = writer.batch(topic, partition);
    batch.add({ timestamp: begin + item.at, key: { bytes: Buffer.alloc(0), start: -1, end: -1 }, value: { bytes: Buffer.from('x'), start: 0, end: 1 }, headers: [] });
    await writer.append([batch]);
    const offset = ends.get(partition) ?? 0;
    ends.set(partition, offset + 1);
    places.push({ partition, offset });
  }
  await writer.close();
  return { log, places };
}

const item = fc.record({ at: fc.nat(4), old: fc.nat(1), made: fc.nat(2) });

test('a group that moves to another log misses nothing there, in whatever partitions records are and whatever their times; where partitions are the same, one that has all begins at the end', async (t) => {
  const directory = await tempDirectory(t);
  let run = 0;
  await fc.assert(fc.asyncProperty(fc.array(item, { maxLength: 12 }), fc.array(fc.nat(12), { minLength: 2, maxLength: 2 }), fc.boolean(), async (items, had, same) => {
    const at = join(directory, String(run++));
    const old = await fill(join(at, 'old'), items, { partitions: 2, partition: (each) => each.old });
    const made = await fill(join(at, 'made'), items, same ? { partitions: 2, partition: (each) => each.old } : { partitions: 3, partition: (each) => each.made });
    const [reader, other] = [await old.log.openReader(), await made.log.openReader()];
    const [groups, found] = [await old.log.openGroups(), await made.log.openGroups()];
    const committed = await Promise.all(had.map(async (offset, partition) => ({ topic, partition, offset: Math.min(offset, (await reader.range(topic, partition)).end) })));
    await groups.commit('mailer', committed);
    // Twice: a copy that was cut off behind it does it again.
    for (let i = 0; i < 2; i++) await moveGroups({ pipeline: 'shop', from: { log: old.log, reader }, to: { log: made.log, reader: other } });
    const now = await found.read('mailer');
    assert.equal(now.length, same ? 2 : 3);
    for (const [i, place] of old.places.entries()) {
      if (place.offset < (committed[place.partition]?.offset ?? 0)) continue;
      const there = made.places[i];
      assert.ok(there !== undefined && there.offset >= (now[there.partition]?.offset ?? 0), `record ${i} is not missed`);
    }
    for (const { partition, offset } of same ? committed : []) {
      const { end } = await other.range(topic, partition);
      if (offset === end) assert.equal(now[partition]?.offset, end, 'and has nothing twice');
    }
    await reader.close();
    await other.close();
  }), { numRuns: 40 });
});
