import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { createTupleCodec } from '../../src/codec/tuple/index.ts';
import type { SourceItem } from '../../src/event/change.ts';
import type { Column, TableShape } from '../../src/event/table.ts';
import { tupleOf } from '../../src/event/tuple.ts';
import { embeddedLogConfig } from '../../src/log/embedded/config.ts';
import { createEmbeddedLog } from '../../src/log/embedded/index.ts';
import { Publisher } from '../../src/pipeline/publisher.ts';
import type { TableCopyStatus } from '../../src/pipeline/status.ts';
import { silentLogger } from '../../src/runtime/logger.ts';
import { watermarkPrefix, type Chunk, type Source, type SourceSession } from '../../src/source/source.ts';
import { stillCatalog } from '../support/scripted-source.ts';
import { tempDirectory } from '../support/temp.ts';

const id: Column = { name: 'id', attnum: 1, typeOid: 23, typmod: -1, type: 'integer', baseTypeOid: 23, notNull: true };
const tableOf = (relid: number, name: string): TableShape => ({ relid, schema: 'public', name, columns: [id], key: [0], replicaIdentity: 'default' });
const orders = tableOf(16391, 'orders');
const customers = tableOf(16385, 'customers');

/** A server with one row in every table, and nothing else going on; LSNs go on over connections. */
class QuietSource implements Source {
  tables: readonly TableShape[] = [];
  #lsn = 0x100n;

  async slotHealth(): Promise<never> {
    return assert.fail('not asked for here');
  }

  async connect(): Promise<SourceSession> {
    const confirmedFlush = this.#lsn;
    const items: SourceItem[][] = [];
    let wake = (): void => {};
    const end = new AbortController();
    const watermark = (content: string): void => {
      const at = { commitLsn: this.#lsn, commitTime: 0n };
      this.#lsn += 0x20n;
      items.push([{ op: 'begin', ...at, xid: 700 }, { op: 'm', prefix: watermarkPrefix, content: Buffer.from(content), ordinal: 0 }, { op: 'commit', ...at, endLsn: this.#lsn }]);
      wake();
    };
    const unused = async (): Promise<never> => assert.fail('not asked for here');
    return {
      server: { systemIdentifier: '7', timeline: 1, timelineSwitch: undefined, slot: 's', confirmedFlush, walFlushed: this.#lsn, slotCreated: false, database: 'shop' },
      tables: this.tables,
      leftOut: [],
      batches: async function* () {
        while (!end.signal.aborted) {
          yield items.shift() ?? [];
          if (items.length === 0 && !end.signal.aborted) await new Promise<void>((resolve) => (wake = resolve));
        }
      },
      acknowledge: () => {},
      discover: async () => [],
      health: unused,
      stop: () => {
        end.abort();
        wake();
      },
      close: async () => {},
      catalog: stillCatalog(),
      snapshots: {
        entered: async () => {},
        estimate: async () => 1,
        whole: unused,
        checkWhere: unused,
        boundaries: async () => [],
        watermark: async (content) => {
          watermark(content);
          return { lsn: 0n };
        },
        chunk: async ({ table, low, high }): Promise<Chunk> => {
          watermark(low);
          watermark(high);
          const bytes = tupleOf(['1']);
          const visibility = { xmin: 800n, xmax: 800n, running: [] };
          return { rows: { bytes, starts: new Uint32Array([0]), count: 1, length: bytes.length }, visibility, stable: true, partitions: [], shape: table, last: true };
        },
      },
    };
  }

  async check(): Promise<{ findings: []; tables: [] }> {
    return { findings: [], tables: [] };
  }

  async teardown(): Promise<never[]> {
    return [];
  }

  async openVerifier(): Promise<never> {
    return assert.fail('not asked for here');
  }
}

/** Captures these tables until everything that is due is copied; says what that was. */
async function capture(t: TestContext, publisher: Publisher, source: QuietSource, tables: readonly TableShape[]): Promise<readonly string[]> {
  source.tables = tables;
  const stop = new AbortController();
  t.after(() => stop.abort());
  let copies: readonly Pick<TableCopyStatus, 'table' | 'state'>[] = [];
  const publishing = publisher.publish(stop.signal, () => {
    copies = publisher.session?.progress ?? [];
    const timer = setInterval(() => {
      if (!copies.every(({ state }) => state === 'done')) return;
      clearInterval(timer);
      stop.abort();
    }, 5);
  });
  await publishing;
  return copies.map(({ table }) => table);
}

test('a table that was left out for a while is copied anew when it is captured again', async (t) => {
  const log = createEmbeddedLog(embeddedLogConfig.parse({ directory: await tempDirectory(t) }));
  const source = new QuietSource();
  const publisher = await Publisher.open({
    pipeline: 'shop', source, log, codec: createTupleCodec(), snapshot: 'initial', onGap: 'stop', copyParallel: 1, sinks: [], logger: silentLogger,
  });
  assert.deepEqual(await capture(t, publisher, source, [orders, customers]), ['public.orders', 'public.customers']);
  assert.deepEqual(await capture(t, publisher, source, [orders, customers]), []);
  assert.deepEqual(await capture(t, publisher, source, [orders]), []);
  assert.deepEqual(await capture(t, publisher, source, [orders]), []);
  assert.deepEqual(await capture(t, publisher, source, [orders, customers]), ['public.customers']);
  assert.deepEqual(await capture(t, publisher, source, [orders, customers]), []);
  await publisher.close();
});
