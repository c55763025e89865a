import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { tailrace } from './fake-terminal.ts';
import { logWith } from './log-fixture.ts';

const events = [
  { op: 'c', new: ['1', 'a', null] },
  { op: 'u', new: ['1', 'b', undefined] },
  { op: 'd', old: ['1', null, null] },
] as const;

async function consumed(args: readonly string[]): Promise<{ code: number; err: string; records: Record<string, unknown>[]; out: string }> {
  const { file, writer } = await logWith(events);
  const said = await tailrace(['consume', args[0] ?? '', file, ...args.slice(1)]);
  await writer.close();
  const records = said.out.startsWith('{') ? said.out.trim().split('\n').map((line) => JSON.parse(line) as Record<string, unknown>) : [];
  return { ...said, records };
}

describe('consume', () => {
  test('a row reads as Postgres said it, with its identity; absent is not NULL', async () => {
    const { code, records } = await consumed(['shop.public.items', '--from-beginning']);
    assert.equal(code, 0);
    assert.equal(records.length, 3);
    const [insert, update, remove] = records;
    assert.deepEqual(insert, {
      topic: 'shop.public.items', partition: 0, offset: 0, timestamp: '2026-01-31T12:00:00.000Z', op: 'c', epoch: 1, commit_lsn: '0/10', ordinal: 0,
      table: 'public.items', key: { id: '1' }, before: null, after: JSON.parse('{"id":"1","__proto__":"a","note":null}') as unknown,
    });
    assert.deepEqual(update?.['after'], JSON.parse('{"id":"1","__proto__":"b"}'));
    assert.deepEqual(update?.['absent'], ['note']);
    assert.deepEqual(remove?.['before'], { id: '1' });
    assert.equal(remove?.['after'], null);
  });
  test('--whole fills in what did not come again, wherever it begins', async () => {
    for (const from of [['--from-beginning'], ['--offset', '1']]) {
      const update = (await consumed(['shop.public.items', ...from, '--whole'])).records.find(({ op }) => op === 'u');
      assert.deepEqual(update?.['after'], JSON.parse('{"id":"1","__proto__":"b","note":null}'));
      assert.equal(update?.['absent'], undefined);
    }
  });
  test("a pipeline's only topic needs no prefix", async () => assert.equal((await consumed(['public.items', '--from-beginning'])).records.length, 3));
  test('--max ends it', async () => assert.deepEqual((await consumed(['shop.public.items', '--from-beginning', '--max', '2'])).records.map(({ offset }) => offset), [0, 1]));
  test('--from-time and --from-lsn begin where the time or the commit is reached', async () => {
    assert.deepEqual((await consumed(['shop.public.items', '--from-time', '2026-01-31T12:00:01Z'])).records.map(({ offset }) => offset), [1, 2]);
    assert.deepEqual((await consumed(['shop.public.items', '--from-lsn', '0/10'])).records.map(({ offset }) => offset), [0, 1, 2]);
    assert.deepEqual((await consumed(['shop.public.items', '--from-lsn', '0/11'])).records, []);
    assert.match((await consumed(['shop.transaction', '--from-lsn', '0/11'])).err, /have no LSN[^]*--from-time/);
  });
  test('--filter lets through what fulfils it, and --max-messages counts that', async () => {
    assert.deepEqual((await consumed(['shop.public.items', '--from-beginning', '--filter', 'op != insert', '--filter', 'id = 1', '--max-messages', '1'])).records.map(({ offset }) => offset), [1]);
    assert.match((await consumed(['shop.public.items', '--from-beginning', '--filter', 'op is'])).err, /the filter op is is not understood at is/);
  });
  test('places that contradict each other are refused', async () => {
    for (const args of [['--offset', '1', '--from-beginning'], ['--group', 'g', '--offset', '1'], ['--group', 'g', '--partition', '0'], ['--partition', '3'], ['--from-lsn', 'x'], ['--offset', '-1']]) {
      const { code, err } = await consumed(['shop.public.items', ...args]);
      assert.equal(code, 2, args.join(' '));
      assert.match(err, /leave|has partition 0 alone|An LSN is needed|A whole number/);
    }
  });
  test('--offset begins there', async () => assert.deepEqual((await consumed(['shop.public.items', '--offset', '1'])).records.map(({ offset }) => offset), [1, 2]));
  test('--until ends it before that time', async () => {
    assert.deepEqual((await consumed(['shop.public.items', '--from-beginning', '--until', '2026-01-31T12:00:01Z'])).records.map(({ offset }) => offset), [0]);
  });
  test('an offset that the log does not hold is an error', async () => {
    const { code, err } = await consumed(['shop.public.items', '--offset', '99']);
    assert.equal(code, 4);
    assert.match(err, /partition 0 of shop\.public\.items holds offsets 0 to 3, not 99[^]*--offset earliest or latest/);
    assert.deepEqual((await consumed(['shop.public.items', '--offset', '3', '--no-follow'])).records, [], 'the end is a place too');
  });
  test('the topics of the pipeline itself read as JSON', async () => {
    const { records } = await consumed(['shop.transaction', '--from-beginning']);
    assert.deepEqual(records.map(({ value }) => (value as { type: string }).type), ['start', 'end']);
  });
  test('--follow shows what comes', async () => {
    const { file, writer, add } = await logWith(events.slice(0, 1));
    const running = tailrace(['consume', 'shop.public.items', file, '--from-beginning', '--follow', '--max', '2']);
    await add(events.slice(1, 2));
    const { out } = await running;
    await writer.close();
    assert.equal(out.trim().split('\n').length, 2);
  });
  test('a line is for people and keeps control characters to itself', async () => {
    const { file, writer } = await logWith([{ op: 'c', new: ['1', '\u001b[31mred\u009b', null] }]);
    const { out } = await tailrace(['consume', 'shop.public.items', file, '--from-beginning', '--format', 'line']);
    await writer.close();
    assert.match(out, /^12:00:00\.000 {2}0 {2}insert {4}0\/10\.0 {2}\{"id":"1"/);
    // oxlint-disable-next-line no-control-regex -- that they are not there is the point
    assert.doesNotMatch(out.trimEnd(), /[\u0000-\u001f\u007f-\u009f]/);
  });
  test('an unknown topic is named with the nearest', async () => {
    const { code, err } = await consumed(['shop.public.item', '--from-beginning']);
    assert.equal(code, 2);
    assert.match(err, /no topic shop.public.item, did you mean shop.public.items\?/);
  });
  test('a pipeline without a log says so', async () => {
    const { file, writer } = await logWith([]);
    await writer.close();
    const { rm } = await import('node:fs/promises');
    const { dirname, join } = await import('node:path');
    await rm(join(dirname(dirname(file)), 'log'), { recursive: true });
    const { code, err } = await tailrace(['consume', 'shop.x', file]);
    assert.equal(code, 3);
    assert.match(err, /holds no log/);
  });
});

describe('topics', () => {
  test('list names each with its kind and records', async () => {
    const { file, writer } = await logWith(events);
    const { out, code } = await tailrace(['topics', 'list', file]);
    await writer.close();
    assert.equal(code, 0);
    assert.match(out, /^shop\.public\.items +events +1 +3 +296 B +2026-01-31T12:00:02\.000Z$/m);
    assert.match(out, /^shop\.sink\.local +sink +1 +1 +174 B /m);
  });
  test('describe gives the offsets of each partition, and JSON the same', async () => {
    const { file, writer } = await logWith(events);
    const text = await tailrace(['topics', 'describe', 'public.items', file]);
    const json = await tailrace(['topics', 'describe', 'public.items', file, '--json']);
    await writer.close();
    assert.match(text.out, /^0 +0 +3 +3 +296 B +1 +2026-01-31T12:00:00\.000Z +2026-01-31T12:00:02\.000Z$/m);
    assert.deepEqual((JSON.parse(json.out) as { partitions: unknown }).partitions, [{ partition: 0, start: 0, end: 3, firstAt: Date.UTC(2026, 0, 31, 12), lastAt: Date.UTC(2026, 0, 31, 12, 0, 2), bytes: 296, segments: 1 }]);
  });
});

describe('sinks forget', () => {
  test('needs a word typed or --yes, and does nothing on another word', async () => {
    const { file, writer } = await logWith([]);
    await writer.close();
    assert.match((await tailrace(['sinks', 'forget', 'local', file])).err, /no terminal to ask on[^]*--yes/);
    assert.match((await tailrace(['sinks', 'forget', 'local', file], { answer: 'y' })).err, /nothing was done/);
    const { code, out } = await tailrace(['sinks', 'forget', 'local', file], { answer: 'local' });
    assert.equal(code, 0);
    assert.match(out, /no longer waits for local/);
    const { out: records } = await tailrace(['consume', 'shop.sink.local', file, '--from-beginning']);
    assert.match(records.trim(), /^[^\n]*"type":"forgotten"[^\n]*$/, 'what it had said before is gone');
  });
  test('of a sink that is gone from the file its topic goes too', async () => {
    const { file, writer } = await logWith([]);
    await writer.createTopic({ topic: 'shop.sink.old', partitions: 1 });
    await writer.createTopic({ topic: 'shop.dead-letter.old', partitions: 1 });
    await writer.close();
    assert.equal((await tailrace(['sinks', 'forget', 'old', file, '--yes'])).code, 0);
    assert.doesNotMatch((await tailrace(['topics', 'list', file])).out, /\.old/);
  });
  test('is refused while the daemon has the log', async () => {
    const { file, writer } = await logWith([]);
    const { code, err } = await tailrace(['sinks', 'forget', 'local', file, '--yes']);
    await writer.close();
    assert.equal(code, 3);
    assert.match(err, /open in another process/);
  });
  test('an unknown sink is named with those that are there', async () => {
    const { file, writer } = await logWith([]);
    await writer.close();
    const { code, err } = await tailrace(['sinks', 'forget', 'nobody', file, '--yes']);
    assert.equal(code, 2);
    assert.match(err, /no sink nobody[^]*it has local/);
  });
  test('so is an unknown stream, before anything is asked', async () => {
    const { file, writer } = await logWith([]);
    await writer.close();
    for (const command of ['reset', 'keep']) {
      const { code, err } = await tailrace(['streams', command, 'nobody', file]);
      assert.equal(code, 2);
      assert.match(err, /no stream nobody[^]*it has none/);
    }
  });
});

describe('status', () => {
  test('without a daemon it says what the log holds', async () => {
    const { file, writer } = await logWith(events);
    const { code, out, err } = await tailrace(['status', file, '--http', '127.0.0.1:1']);
    await writer.close();
    assert.equal(code, 0);
    assert.match(out, /^shop {2}not-running\n {2}slot tailrace_shop, log ends at 0\/20/);
    assert.match(out, /local +not-running +8 B +1 transactions +0\/10/);
    assert.match(err, /no daemon of these pipelines answers at 127.0.0.1:1/);
  });
  test('--json is an array of the same', async () => {
    const { file, writer } = await logWith(events);
    const { out } = await tailrace(['status', file, '--json', '--http', '127.0.0.1:1']);
    await writer.close();
    const [status] = JSON.parse(out) as { pipeline: string; state: string; source: { lastEnd: string } }[];
    assert.deepEqual([status?.pipeline, status?.state, status?.source.lastEnd], ['shop', 'not-running', '0/20']);
  });
});
