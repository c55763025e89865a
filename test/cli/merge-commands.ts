import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import type { RecordView } from '../../src/app/event-view.ts';
import { requirePipelines } from '../../src/config/load.ts';
import type { PipelineConfig } from '../../src/config/pipeline-schema.ts';
import { createCodec, createLog } from '../../src/registry.ts';
import { silentLogger } from '../../src/runtime/logger.ts';
import { Bench, tableOf } from '../pipeline/harness.ts';
import { tailrace as asProcess } from '../support/daemon.ts';
import { insert, message, rekey, remove, ScriptedSource, truncate, update, type Written } from '../support/scripted-source.ts';
import { tempDirectory } from '../support/temp.ts';
import { eventually } from '../support/wait.ts';
import { tailrace, type Fake, type Said } from './fake-terminal.ts';

export const orders = tableOf('orders', 2);
export const payments = tableOf('payments', 3);
export const others = tableOf('others', 1);

/** A pipeline whose publisher the test starts and stops, and the commands on its log. */
export interface MergeStage {
  readonly name: string;
  readonly file: string;
  readonly config: PipelineConfig;
  readonly bench: Bench;
  readonly source: ScriptedSource;
  run(command: readonly string[], fake?: Fake): Promise<Said>;
  /** Publishes what was committed, and gives the log back. */
  publish(): Promise<void>;
  /** What a topic holds, as `consume` prints it. */
  records(topic: string): Promise<readonly RecordView[]>;
}

export interface StageOptions {
  readonly name: string;
  readonly log: (directory: string) => string;
  readonly more?: string;
  /** Of another stage, which goes on here. */
  readonly source?: ScriptedSource;
}

export async function mergeStage(t: TestContext, { name, log, more = '', source = new ScriptedSource([orders, payments, others]) }: StageOptions): Promise<MergeStage> {
  const directory = await tempDirectory(t);
  const file = join(directory, `${name}.yaml`);
  await writeFile(file, `name: ${name}\nsource: { type: postgres, url: "postgres://u:p@127.0.0.1:1/x" }\nlog: ${log(join(directory, 'log'))}\n${more}`);
  const config = requirePipelines([file], {})[0]?.config;
  assert.ok(config !== undefined);
  const context = { pipeline: name, logger: silentLogger };
  const bench = await Bench.open(t, source, { pipeline: name, on: await createLog(config.log, context), codec: await createCodec(config.format, context), streams: [{ name: 'sales', sinks: [] }] });
  const run = (command: readonly string[], fake: Fake = {}): Promise<Said> => tailrace([...command, file], { ...fake, environment: { TAILRACE_RUNTIME_DIR: directory, ...fake.environment } });
  return {
    name, file, config, bench, source, run,
    async publish() {
      await bench.start();
      await bench.settled();
      await bench.stop();
    },
    async records(topic) {
      const said = await run(['consume', topic, '--from-beginning', '--no-follow', '--format', 'json']);
      assert.equal(said.code, 0, said.err);
      return said.out.split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as RecordView);
    },
  };
}

/** A few transactions in which everything happens that a topic of a table can hold. */
export function commitAll(source: ScriptedSource): void {
  source.commit([insert(orders, ['1', 'lamp']), insert(payments, ['1', '1', 'x']), insert(orders, ['2', 'desk'])]);
  source.commit([insert(others, ['1'])]);
  source.commit([update(payments, ['1', '1', undefined]), remove(orders, ['1', 'lamp']), message('note', 'hello')]);
  source.commit([rekey(orders, ['2', 'desk'], ['3', 'desk']), insert(others, ['2']), insert(payments, ['2', '3', 'y'])]);
  source.commit([truncate(orders, payments)]);
  source.commit([insert(payments, ['4', '4', 'z']), insert(orders, ['4', 'end'])]);
}

/** A second of one clock that all sources share. */
export function timeOf(second: number): bigint {
  return 1_769_860_800_000_000n + BigInt(second) * 1_000_000n;
}

export function commitAt(source: ScriptedSource, second: number, ...changes: readonly Written[]): void {
  source.commit(changes, { commitTime: timeOf(second) });
}

/** Transactions of many appends, small ones between them. */
export function commitMuch(source: ScriptedSource, from: number): readonly string[] {
  const long = 'x'.repeat(60_000);
  const told: string[] = [];
  for (let n = from; n < from + 4; n++) {
    const changes = Array.from({ length: 20 }, (_, i) => (i % 3 === 0 ? insert(payments, [`${n}.${i}`, 'p', long]) : insert(orders, [`${n}.${i}`, long])));
    commitAt(source, n, ...changes);
    told.push(...changes.map((_, i) => `${i % 3 === 0 ? 'payments' : 'orders'} c ${n}.${i}`));
  }
  return told;
}

/** What `commitAll` leaves in the topics of orders and payments together. */
export const merged = [
  'orders c 1', 'payments c 1', 'orders c 2', 'payments u 1', 'orders d 1', 'orders d old', 'orders u 3', 'payments c 2', 'orders t', 'payments t', 'payments c 4', 'orders c 4',
];

/** One line a record: the table that it says it came from, what happened, and the key. */
export function told({ from_topic: topic = '', op, half, key }: RecordView): string {
  const what = half === 'old' ? 'old' : (key as { a?: string } | undefined)?.a;
  return [topic.split('.').at(-1), op, ...(what === undefined ? [] : [what])].join(' ');
}

/** `topics merge`, on any log. */
export function mergeCommands(what: string, stage: (t: TestContext) => Promise<MergeStage>, missing?: string): void {
  describe(`topics merge on ${what}`, { skip: missing ?? false }, () => {
    test('topics are merged in the order of their commits, with identity, key and row; merging again adds what has come since', async (t) => {
      const { name, run, records, source, publish } = await stage(t);
      commitAll(source);
      await publish();
      const merge = (): Promise<Said> => run(['topics', 'merge', 'public.orders', `${name}.public.payments`, '--into', 'all']);
      const said = await merge();
      assert.equal(said.code, 0, said.err);
      assert.match(said.out, new RegExp(`^TOPIC +RECORDS +SIZE +SEGMENTS\n${name}\\.public\\.orders +source +\\d[^]*\n${name}\\.all +before +0 +0 B [^]*\n${name}\\.all +now +12 [^]*\n12 records were merged into ${name}\\.all\n$`));
      const all = await records('all');
      assert.deepEqual(all.map(told), merged);
      // Each is what its own topic has, but for where it stands.
      const own = [...(await records('public.orders')), ...(await records('public.payments'))].filter(({ op }) => op !== 'tombstone');
      for (const { partition: _, offset: __, topic: ___, from_topic: from, ...rest } of all) {
        assert.ok(own.some(({ partition: _p, offset: _o, topic, ...same }) => topic === from && JSON.stringify(same) === JSON.stringify(rest)), JSON.stringify(rest));
      }
      assert.match((await run(['consume', 'all', '--from-beginning', '--format', 'line', '--max-messages', '1'])).out, new RegExp(`  0  insert +${name}\\.public\\.orders  0/`));
      source.commit([insert(payments, ['5', '5', 'w'])]);
      source.commit([insert(others, ['3'])]);
      source.commit([insert(orders, ['5', 'more'])]);
      await publish();
      assert.equal((await merge()).code, 0);
      assert.deepEqual((await records('all')).map(told), [...merged, 'payments c 5', 'orders c 5']);
      const truncated = (await records('all')).find(({ op }) => op === 't');
      const since = await run(['consume', 'all', '--from-lsn', truncated?.commit_lsn ?? '', '--format', 'json']);
      assert.deepEqual(since.out.trim().split('\n').map((line) => told(JSON.parse(line) as RecordView)), ['orders t', 'payments t', 'payments c 4', 'orders c 4', 'payments c 5', 'orders c 5']);
      const nothing = await merge();
      assert.match(nothing.out, /\n0 records were merged into/);
      assert.deepEqual((await records('all')).slice(merged.length).map(told), ['payments c 5', 'orders c 5']);
    });
    test('what cannot be merged is refused before anything is written', async (t) => {
      const { name, run, source, publish } = await stage(t);
      source.commit([insert(orders, ['1', 'lamp']), insert(payments, ['1', '1', 'x'])]);
      await publish();
      for (const topic of ['parts', 'clicks']) assert.equal((await run(['topics', 'create', topic, ...(topic === 'parts' ? ['--partitions', '2'] : [])])).code, 0);
      await run(['produce', 'clicks'], { input: ['1\n'] });
      for (const [args, message] of [
        [['public.orders', '--into', 'public.all'], /a topic that the pipeline .* writes itself[^]*for example .*\.all/],
        [['public.orders', '--into', 'parts'], /has 2 partitions, over which there is no order/],
        [['public.orders', '--into', 'clicks'], /clicks holds records that no merge has put there/],
        [['clicks', '--into', 'clicks'], /cannot be merged into itself/],
        [['public.orders', 'public.orders', '--into', 'all'], /public\.orders is named twice/],
        [['public.oders', '--into', 'all'], /there is no topic .*public\.oders, did you mean .*public\.orders/],
        [['transaction', '--into', 'all'], /holds no events: it is a topic of the kind transaction/],
        [['./nothing', '--into', 'all'], /is neither a connector file nor/],
        [['--into', 'all'], /there is nothing to merge/],
      ] as const) {
        const said = await run(['topics', 'merge', ...args]);
        assert.equal(said.code, 2, `${args.join(' ')} ${said.err}`);
        assert.match(said.err, message);
      }
      assert.doesNotMatch((await run(['topics', 'list'])).out, new RegExp(`${name}\\.all `));
      assert.equal((await run(['topics', 'merge', 'public.orders', '--into', 'all'])).code, 0);
      const more = await run(['topics', 'merge', 'public.orders', 'public.payments', '--into', 'all']);
      assert.equal(more.code, 2);
      assert.match(more.err, new RegExp(`was merged from ${name}\\.public\\.orders`));
      assert.match((await run(['topics', 'merge', 'all', '--into', 'twice'])).err, /all is merged itself[^]*Name what it was merged from/);
      for (const [command, message] of [[['produce', 'all'], /is merged from other topics: nothing else/], [['consume', 'all', '--whole'], /rows of .*all cannot be completed/]] as const) {
        const refused = await run(command, { input: ['1\n'] });
        assert.equal(refused.code, 2);
        assert.match(refused.err, message);
      }
    });
    test('topics that people produce to are merged by the time of their records, each partition in its order', async (t) => {
      const { run, records, publish } = await stage(t);
      await publish();
      const line = (value: string, second: number, more: object = {}): string => `${JSON.stringify({ key: 'k', value, timestamp: `2026-01-31T12:00:0${second}Z`, ...more })}\n`;
      await run(['topics', 'create', 'eu', '--partitions', '2']);
      await run(['topics', 'create', 'us']);
      await run(['produce', 'eu', '--format', 'json'], { input: [line('e1', 1, { partition: 0, headers: { h: 'x' } }), line('e4', 4, { partition: 1 }), line('e2', 2, { partition: 1 })] });
      await run(['produce', 'us', '--format', 'json'], { input: [line('u3', 3)] });
      const merge = (): Promise<Said> => run(['topics', 'merge', 'us', 'eu', '--into', 'clicks']);
      assert.equal((await merge()).code, 0);
      const values = async (): Promise<readonly unknown[]> => (await records('clicks')).map(({ value }) => value);
      assert.deepEqual(await values(), ['e1', 'u3', 'e4', 'e2']);
      const [first] = await records('clicks');
      assert.deepEqual([first?.key, first?.headers, first?.from_topic?.split('.').at(-1)], ['k', { h: 'x' }, 'eu']);
      await run(['produce', 'us', '--format', 'json'], { input: [line('u5', 5)] });
      assert.equal((await merge()).code, 0);
      assert.deepEqual(await values(), ['e1', 'u3', 'e4', 'e2', 'u5']);
    });
  });
}

/** Merges two pipelines' tables into a topic of the first one, killed at each of the points in turn: `name`, or `name:2` for the second time. */
export function mergeKilled(what: string, [into, other]: readonly [(t: TestContext) => Promise<MergeStage>, (t: TestContext) => Promise<MergeStage>], points: readonly string[], missing?: string): void {
  test(`kill -9 at each step of a merge on ${what}: it goes on behind what is durable, and in the end each event is there once and in order`, { skip: missing ?? false }, async (t) => {
    const [first, second] = [await into(t), await other(t)];
    const expected = [...commitMuch(second.source, 1), ...commitMuch(first.source, 5)];
    for (const { publish } of [first, second]) await publish();
    const args = ['topics', 'merge', `${first.name}.public.*`, `${second.name}.public.*`, first.file, second.file, '--into', `${first.name}.all`];
    for (const point of points) {
      const [name, nth = '1'] = point.split(':');
      const killed = await asProcess(args, { NODE_ENV: 'test', TAILRACE_FAILPOINT: `${name}:kill9:${nth}` });
      assert.equal(killed.code, null, `${point}: ${killed.err}`);
    }
    const said = await asProcess(args);
    assert.equal(said.code, 0, said.err);
    assert.doesNotMatch(said.out, /\n0 records were merged/, 'there was still something to do');
    assert.deepEqual((await first.records('all')).map(told), expected);
  });
}

/** A merge stands still behind its first append while another one does all of the work. */
export function mergeOvertaken(what: string, stage: (t: TestContext) => Promise<MergeStage>, missing?: string): void {
  test(`a merge on ${what} that another one has overtaken is told so, and each event is there once`, { skip: missing ?? false }, async (t) => {
    const { name, file, source, publish, run, records } = await stage(t);
    const expected = commitMuch(source, 1);
    await publish();
    const args = ['topics', 'merge', `${name}.public.*`, '--into', 'all'];
    let stopped: ChildProcess | undefined;
    const late = asProcess([...args, file], { NODE_ENV: 'test', TAILRACE_FAILPOINT: 'merge.appended:pause' }, undefined, (child) => (stopped = child));
    await eventually(async () => new RegExp(`${name}\\.all +produced +1 +[1-9]`).test((await run(['topics', 'list'])).out), { what: 'the first append' });
    // Until it stands still it has the log now and then.
    await eventually(async () => (await run(args)).code === 0, { what: 'the other merge', timeoutMs: 60_000 });
    // Again and again, in case that it only now comes to stand still.
    const waking = setInterval(() => stopped?.kill('SIGCONT'), 50);
    const { code, err } = await late;
    clearInterval(waking);
    assert.notEqual(code, 0);
    assert.match(err, /is being written by somebody else, another merge perhaps[^]*Run it again when that is done|another worker|the brokers have given/);
    assert.deepEqual((await records('all')).map(told), expected);
  });
}
