import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { requirePipelines } from '../../src/config/load.ts';
import { createLog } from '../../src/registry.ts';
import { silentLogger } from '../../src/runtime/logger.ts';
import { batchOf, record } from '../contract/log-samples.ts';
import { tempDirectory } from '../support/temp.ts';
import { firstAt } from './log-fixture.ts';
import { tailrace, type Fake, type Said } from './fake-terminal.ts';

export interface Tools {
  /** The pipeline's name. */
  readonly name: string;
  readonly file: string;
  /** Runs a command on the connector file: its name, then its arguments, then the file. */
  run(command: readonly string[], fake?: Fake): Promise<Said>;
  /** Appends values, each with a time a second after the one before it, from 2026-01-31T12:00:00Z on. */
  write(topic: string, values: readonly string[]): Promise<void>;
}

/** A pipeline whose log has its own topics and one of a table, with some records each; its source is never asked. */
export async function toolsOn(log: (directory: string) => string, name: string): Promise<Tools> {
  const directory = await tempDirectory();
  const file = join(directory, `${name}.yaml`);
  await writeFile(file, `name: ${name}\nsource: { type: postgres, url: "postgres://u:p@127.0.0.1:1/x" }\nlog: ${log(join(directory, 'log'))}\n`);
  const config = requirePipelines([file], {})[0]?.config;
  assert.ok(config !== undefined);
  const own = await createLog(config.log, { pipeline: name, logger: silentLogger });
  const writer = await own.openWriter();
  for (const topic of ['transaction', 'schema', 'public.items']) await writer.createTopic({ topic: `${name}.${topic}`, partitions: 1 });
  await writer.close();
  const write = async (topic: string, values: readonly string[]): Promise<void> => {
    const open = await own.openWriter();
    const { end } = open.range(`${name}.${topic}`, 0);
    await open.append([batchOf(open, [`${name}.${topic}`, 0], values.map((value, i) => ({ ...record(value), timestamp: firstAt + (end + i) * 1000 })))]);
    await open.close();
  };
  return { name, file, write, run: (command, fake = {}) => tailrace([...command, file], { ...fake, environment: { TAILRACE_RUNTIME_DIR: directory, ...fake.environment } }) };
}

/** The commands on topics, on any log. */
export function topicCommands(what: string, tools: () => Promise<Tools>, missing?: string): void {
  describe(`topics on ${what}`, { skip: missing ?? false }, () => {
    test('a topic is made, given partitions and deleted; what is there already or is not there is an error unless it is allowed', async () => {
      const { name, run } = await tools();
      const made = await run(['topics', 'create', 'clicks', '--partitions', '2']);
      assert.equal(made.code, 0, made.err);
      assert.equal(made.out, `${name}.clicks was made\n`);
      const again = await run(['topics', 'create', `${name}.clicks`]);
      assert.equal(again.code, 2);
      assert.match(again.err, /is there already[^]*--if-not-exists/);
      assert.equal((await run(['topics', 'create', 'clicks', '--if-not-exists'])).code, 0);
      assert.equal((await run(['topics', 'alter', 'clicks', '--partitions', '3'])).code, 0);
      const fewer = await run(['topics', 'alter', 'clicks', '--partitions', '1']);
      assert.equal(fewer.code, 3);
      const described = JSON.parse((await run(['topics', 'describe', 'clicks', '--json'])).out) as { kind: string; partitions: readonly { bytes: number }[] };
      assert.equal(described.kind, 'produced');
      assert.deepEqual(described.partitions.map(({ bytes }) => bytes), [0, 0, 0]);
      assert.equal((await run(['topics', 'delete', 'clicks'], { answer: 'no' })).code, 2);
      assert.equal((await run(['topics', 'delete', 'clicks', '--yes'])).code, 0);
      const gone = await run(['topics', 'delete', 'clicks', '--yes']);
      assert.equal(gone.code, 2);
      assert.match(gone.err, /is not there[^]*--if-exists/);
      assert.equal((await run(['topics', 'delete', 'clicks', '--yes', '--if-exists'])).code, 0);
      assert.equal((await run(['topics', 'alter', 'clicks', '--partitions', '3', '--if-exists'])).code, 0);
    });
    test("a pipeline's own topic is not made, and not touched without --force, which says what would be lost", async () => {
      const { name, run } = await tools();
      const create = await run(['topics', 'create', 'public.other']);
      assert.equal(create.code, 2);
      assert.match(create.err, new RegExp(`writes itself[^]*for example ${name}\\.other`));
      const refused = await run(['topics', 'delete', 'public.items', '--yes']);
      assert.equal(refused.code, 2);
      assert.match(refused.err, /pipeline .* writes\. If it is deleted, the changes of its table go: sinks [^]*add --force/);
      assert.match((await run(['topics', 'alter', 'public.items', '--partitions', '4'])).err, /order of their changes is lost/);
      assert.match((await run(['topics', 'delete', 'transaction', '--yes'])).err, /where the pipeline stands goes/);
      assert.equal((await run(['topics', 'delete', 'public.items', '--yes', '--force'])).code, 0);
      assert.doesNotMatch((await run(['topics', 'list'])).out, /public\.items/);
    });
    test('bad input is an error that says what is wrong', async () => {
      const { run } = await tools();
      for (const [command, message] of [
        [['topics', 'create', 'a b'], /no name for a topic/],
        [['topics', 'create', 'clicks', '--partitions', '0'], /whole number from 1[^]*See tailrace topics create --help/],
        [['topics', 'create', 'clicks', '--config', 'retention'], /name=value is needed/],
        [['topics', 'alter', 'clicks'], /nothing to alter/],
      ] as const) {
        const said = await run(command);
        assert.equal(said.code, 2, command.join(' '));
        assert.match(said.err, message);
      }
    });
  });
}

/** `consume --group` and `groups`, on any log. */
export function groupCommands(what: string, tools: () => Promise<Tools>, missing?: string): void {
  const values = (said: Said): readonly unknown[] => said.out.trim().split('\n').filter((line) => line !== '').map((line) => (JSON.parse(line) as { value: unknown }).value);
  describe(`groups on ${what}`, { skip: missing ?? false }, () => {
    test('a group goes on where it was, each record once, and groups say where that is', async () => {
      const { name, run, write } = await tools();
      assert.equal((await run(['topics', 'create', 'clicks', '--partitions', '2'])).code, 0);
      await write('clicks', ['1', '2', '3']);
      const group = `mailer-${name}`;
      const consume = (...args: readonly string[]): Promise<Said> => run(['consume', 'clicks', '--group', group, '--no-follow', ...args]);
      assert.deepEqual(values(await consume('--from-beginning', '--max-messages', '2')), [1, 2]);
      await write('clicks', ['4']);
      assert.deepEqual(values(await consume()), [3, 4]);
      assert.deepEqual(values(await consume('--from-beginning')), [], 'it has been here');
      await write('clicks', ['5', '6']);
      const described = JSON.parse((await run(['groups', 'describe', group, '--json'])).out) as readonly { partition: number; currentOffset: number; logEndOffset: number; lag: number }[];
      assert.deepEqual(described.map(({ partition, currentOffset, logEndOffset, lag }) => [partition, currentOffset, logEndOffset, lag]), [[0, 4, 6, 2], [1, 0, 0, 0]]);
      assert.match((await run(['groups', 'list'])).out, new RegExp(`^${group} +2 +${name}\\.clicks$`, 'm'));

      const plan = await run(['groups', 'reset-offsets', group, '--topic', 'clicks', '--to-datetime', '2026-01-31T12:00:03Z']);
      assert.match(plan.out, /clicks +0 +3 +6 +3/);
      assert.match(plan.err, /nothing was done; add --execute/);
      assert.deepEqual(values(await consume()), [5, 6]);
      for (const [target, expected] of [[['--shift-by', '-1'], [6]], [['--to-offset', '4'], [5, 6]], [['--to-earliest'], [1, 2, 3, 4, 5, 6]], [['--to-latest'], []], [['--to-datetime', '2026-01-31T12:00:03Z'], [4, 5, 6]]] as const) {
        assert.equal((await run(['groups', 'reset-offsets', group, '--topic', 'clicks', '--execute', ...target])).code, 0);
        assert.deepEqual(values(await consume()), expected, target.join(' '));
      }
      assert.equal((await run(['groups', 'delete', group, '--yes'])).code, 0);
      const gone = await run(['groups', 'describe', group]);
      assert.equal(gone.code, 2);
      assert.match(gone.err, /there is no group/);
    });
    test('a new group begins at the end and keeps to that', async () => {
      const { name, run, write } = await tools();
      await run(['topics', 'create', 'clicks']);
      await write('clicks', ['1']);
      const consume = (): Promise<Said> => run(['consume', 'clicks', '--group', `late-${name}`, '--no-follow']);
      assert.deepEqual(values(await consume()), []);
      await write('clicks', ['2']);
      assert.deepEqual(values(await consume()), [2]);
    });
    test('a group that stands where the topic does not is told so, and how to go on', async () => {
      const { name, run, write } = await tools();
      await run(['topics', 'create', 'clicks']);
      await write('clicks', ['1', '2']);
      const group = `gone-${name}`;
      const consume = (): Promise<Said> => run(['consume', 'clicks', '--group', group, '--no-follow', '--from-beginning']);
      await consume();
      await run(['topics', 'delete', 'clicks', '--yes']);
      await run(['topics', 'create', 'clicks']);
      const said = await consume();
      // Kafka forgets a group's place in a topic that it deletes.
      if (said.code === 0) return;
      assert.equal(said.code, 4);
      assert.match(said.err, /stands at offset 2 of partition 0[^]*the topic was made anew[^]*reset-offsets gone-/);
    });
  });
}

/** `produce`, on any log. */
export function produceCommands(what: string, tools: () => Promise<Tools>, missing?: string): void {
  interface Printed {
    readonly partition: number;
    readonly key?: unknown;
    readonly headers?: unknown;
    readonly value?: unknown;
    readonly op?: string;
    readonly timestamp: string;
  }
  const printed = async ({ run }: Tools): Promise<readonly Printed[]> =>
    (await run(['consume', 'clicks', '--from-beginning'])).out.trim().split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as Printed);
  describe(`produce on ${what}`, { skip: missing ?? false }, () => {
    test('lines with headers, keys and values are read as Kafka\'s console producer reads them, however they come in pieces', async () => {
      const own = await tools();
      await own.run(['topics', 'create', 'clicks']);
      const said = await own.run(['produce', 'clicks', '--property', 'parse.key=true', '--property', 'key.separator=:', '--property', 'parse.headers=true', '--property', 'headers.delimiter=|', '--property', 'null.marker=NULL'], { input: ['a:1,b:2|k1:{"x":', '1}\r\n|k2:é', '\n|NULL:NULL\n', '|k3:last'] });
      assert.equal(said.code, 0, said.err);
      assert.equal(said.out, `4 records are durable in clicks\n`);
      assert.deepEqual((await printed(own)).map(({ key, headers, value, op }) => ({ key, headers, value, op })), [
        { key: 'k1', headers: { a: '1', b: '2' }, value: { x: 1 }, op: undefined },
        { key: 'k2', headers: undefined, value: 'é', op: undefined },
        { key: undefined, headers: undefined, value: undefined, op: 'tombstone' },
        { key: 'k3', headers: undefined, value: 'last', op: undefined },
      ]);
    });
    test('JSON says all of a record; a key keeps to its partition', async () => {
      const own = await tools();
      await own.run(['topics', 'create', 'clicks', '--partitions', '3']);
      const record = (value: unknown, more: object = {}): string => `${JSON.stringify({ value, ...more })}\n`;
      const input = [record({ n: 1 }, { key: 'ann', headers: { h: 'x' } }), record('two', { key: 'ann' }), record(3, { key: { id: 1 }, partition: 2, timestamp: '2026-01-31T12:00:00Z' }), record(null, { key: 'ann' })];
      assert.equal((await own.run(['produce', 'clicks', '--format', 'json'], { input })).code, 0);
      const found = await printed(own);
      const ann = found.filter(({ key }) => key === 'ann');
      assert.deepEqual(ann.map(({ value, op }) => value ?? op), [{ n: 1 }, 'two', 'tombstone']);
      assert.equal(new Set(ann.map(({ partition }) => partition)).size, 1);
      const third = found.find(({ value }) => value === 3);
      assert.deepEqual([third?.partition, third?.key, third?.timestamp], [2, { id: 1 }, '2026-01-31T12:00:00.000Z']);
      assert.deepEqual(ann[0]?.headers, { h: 'x' });
    });
    test('a line that is wrong is named, and so is how many before it are durable; nothing goes into a topic of the pipeline', async () => {
      const own = await tools();
      await own.run(['topics', 'create', 'clicks']);
      for (const [args, input, message] of [
        [['clicks', '--format', 'json'], ['{"value":1}\n', '{"value":'], /line 2: it is no JSON[^]*Each line is an object/],
        [['clicks', '--format', 'json'], ['{"valeu":1}\n'], /line 1: valeu is none of key, value/],
        [['clicks', '--format', 'json'], ['{"value":1,"partition":9}\n'], /has no partition 9[^]*partition 0 alone/],
        [['clicks', '--property', 'parse.key=true'], ['no tab'], /line 1: it has no "\\t" behind its key/],
        [['clicks', '--property', 'parse.keys=true'], [], /no property parse\.keys[^]*There are parse\.key/],
        [['clicks', '--format', 'json'], ['{"value":1,"headers":{"tailrace":"x"}}\n'], /header tailrace marks/],
        [['public.items'], ['x\n'], /is a topic that the pipeline .* writes: nothing else/],
        [['nothing'], ['x\n'], /there is no topic/],
      ] as const) {
        const said = await own.run(['produce', ...args], { input });
        assert.equal(said.code, 2, `${args.join(' ')} ${said.err}`);
        assert.match(said.err, message);
      }
      assert.deepEqual(await printed(own), [], 'a batch with a bad line in it is not written');
    });
  });
}
