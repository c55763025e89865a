import assert from 'node:assert/strict';
import { suite, test, type TestContext } from 'node:test';
import { AvroCodec } from '../../src/codec/avro/avro-codec.ts';
import { OwnRegistrar, type SchemaRegistrar } from '../../src/codec/avro/registrar.ts';
import type { RegisteredSchema } from '../../src/event/table.ts';
import { TailraceError } from '../../src/runtime/errors.ts';
import type { VersionRecord } from '../../src/pipeline/control-records.ts';
import { insert, message, rekey, ScriptedSource, truncate, update } from '../support/scripted-source.ts';
import { Bench, sorted, tableOf } from './harness.ts';
import { schemaRecords } from './log-view.ts';

const items = tableOf('items', 3);

/** Real ids, with a hand on each request: a registry that can be down, and that is counted. */
class WatchedRegistrar implements SchemaRegistrar {
  readonly #own = new OwnRegistrar();
  readonly #name: string;
  readonly asked: string[] = [];
  isDown = false;

  constructor(name = 'http://registry') {
    this.#name = name;
  }

  async register(wanted: { readonly subject: string; readonly schema: string }, known: readonly RegisteredSchema[]): Promise<RegisteredSchema> {
    const before = known.find(({ registry, subject, schema }) => registry === this.#name && subject === wanted.subject && schema === wanted.schema);
    if (before !== undefined) return before;
    this.asked.push(wanted.subject);
    if (this.isDown) throw new TailraceError('registry-unreachable', 'scripted');
    return { ...(await this.#own.register(wanted, [])), registry: this.#name };
  }

  check(): Promise<[]> {
    return Promise.resolve([]);
  }
}

async function benchWith(t: TestContext, registrar = new WatchedRegistrar()): Promise<{ bench: Bench; source: ScriptedSource; registrar: WatchedRegistrar }> {
  const source = new ScriptedSource([items]);
  return { bench: await Bench.open(t, source, { codec: new AvroCodec(registrar, 'natural'), sinks: ['local'] }), source, registrar };
}

const count = async (bench: Bench): Promise<number> => (await (await bench.reader()).range('shop.public.items', 0)).end;

const versions = async (bench: Bench): Promise<VersionRecord[]> => (await schemaRecords(await bench.reader())).filter((record) => record.type === 'version');

suite('a format with schemas of its own', () => {
  test('a sink gets every kind of change, by what the log holds alone', async (t) => {
    const { bench, source, registrar } = await benchWith(t);
    await bench.start();
    source.commit([insert(items, ['1', 'x', 'long']), insert(items, ['2', 'y', null])]);
    source.commit([update(items, ['1', 'z', undefined]), rekey(items, ['2', null, null], ['3', 'y', undefined])]);
    const { endLsn } = source.commit([message('orders', 'paid')]);
    await bench.settled();
    registrar.isDown = true;
    const sink = await bench.replay('local', { codec: new AvroCodec(registrar, 'natural') });
    await sink.reaches(endLsn);
    assert.deepEqual(sink.rows(items), sorted([['1', 'z', 'long'], ['3', 'y', null]]));
    source.commit([truncate(items), insert(items, ['4', 'w', ''])]);
    await sink.reaches(source.commit([insert(items, ['5', 'v', ''])]).endLsn);
    assert.deepEqual(sink.rows(items), sorted([['4', 'w', ''], ['5', 'v', '']]));
    assert.deepEqual(registrar.asked, ['shop.public.items-value', 'shop.public.items-key', 'shop.message-value', 'shop.message-key']);
  });

  test('a table\'s ids are durable before the first record that names one', async (t) => {
    const { bench, source } = await benchWith(t);
    await bench.start();
    source.commit([insert(items, ['1', 'x', ''])]);
    await bench.settled();
    const { appends } = bench.log;
    const first = (topic: string): number => appends.findIndex(({ data }) => data.includes(topic));
    assert.ok(first('shop.schema') >= 0 && first('shop.schema') < first('shop.public.items'), JSON.stringify(appends));
    const [version] = await versions(bench);
    assert.deepEqual(version?.registered?.map(({ subject }) => subject), ['shop.public.items-value', 'shop.public.items-key']);
  });

  test('what the log holds is not asked for again: a registry that is down stops nobody who knows', async (t) => {
    const { bench, source, registrar } = await benchWith(t);
    await bench.start();
    source.commit([insert(items, ['1', 'x', ''])]);
    await bench.settled();
    registrar.isDown = true;
    await bench.restart();
    source.commit([insert(items, ['2', 'x', ''])]);
    await bench.settled();
    assert.equal(registrar.asked.length, 2);
    assert.equal((await versions(bench)).length, 1);
    assert.equal(await count(bench), 2);
  });

  test('a new table waits for the registry in front of its first change, which is not lost', async (t) => {
    const { bench, source, registrar } = await benchWith(t);
    registrar.isDown = true;
    await bench.start();
    source.commit([insert(items, ['1', 'x', ''])]);
    assert.equal((await bench.ended() as TailraceError).code, 'registry-unreachable');
    registrar.isDown = false;
    await bench.restart();
    await bench.settled();
    assert.equal(await count(bench), 1);
  });

  test('another registry is asked anew, and gives the table a new version; old records stay readable', async (t) => {
    const { bench, source } = await benchWith(t);
    await bench.start();
    source.commit([insert(items, ['1', 'x', ''])]);
    await bench.settled();
    const moved = new WatchedRegistrar('http://elsewhere');
    (bench.options as { codec: AvroCodec }).codec = new AvroCodec(moved, 'natural');
    await bench.restart();
    const { endLsn } = source.commit([insert(items, ['2', 'x', ''])]);
    const sink = await bench.replay('local');
    await sink.reaches(endLsn);
    assert.equal(sink.rows(items).length, 2);
    assert.deepEqual((await versions(bench)).map(({ registered }) => registered?.[0]?.registry), ['http://registry', 'http://elsewhere']);
  });

  test('logical messages are no table to a sink', async (t) => {
    const { bench, source } = await benchWith(t);
    await bench.start();
    const { endLsn } = source.commit([message('orders', 'paid')]);
    const sink = await bench.replay('local');
    await sink.reaches(endLsn);
    source.commit([insert(items, ['1', 'x', ''])]);
    await sink.reaches(source.commit([insert(items, ['2', 'x', ''])]).endLsn);
    assert.equal(sink.rows(items).length, 2);
  });
});
