import assert from 'node:assert/strict';
import { appendFile, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { tailrace } from '../support/daemon.ts';
import { ledgerSetting } from '../support/shop.ts';
import { eventually } from '../support/wait.ts';

const schema = `
  CREATE TABLE sales (id int PRIMARY KEY, place text, amount int);
  INSERT INTO sales SELECT n, CASE WHEN n % 2 = 0 THEN 'north, "upper"' ELSE 'south' END, n FROM generate_series(1, 10) n;
  INSERT INTO sales VALUES (11, NULL, 5)`;
const query = 'SELECT place, count(*) AS sold, sum(amount) AS total FROM sales GROUP BY place ORDER BY place';

test('jobs: the same question to each kind of replica goes to a file, a table and a topic, each with the position it was asked at', async (t) => {
  const setting = await ledgerSetting(t, { schema });
  const { daemon, directory, replica } = setting;
  // Every second of a test is a night; `north` has what a CSV field must not have as it stands.
  const every = 'schedule: "* * * * * *", missed: skip';
  const yaml = `jobs:
  - { name: csv, ${every}, on: reporting, query: ${JSON.stringify(query)}, into: { type: file, path: "${directory}/report-{date}.csv" } }
  - { name: lines, ${every}, on: local, query: ${JSON.stringify(query)}, into: { type: file, path: "${directory}/report.json", format: json } }
  - { name: tabled, ${every}, on: reporting, query: ${JSON.stringify(query)}, into: { type: table, name: report } }
  - { name: told, ${every}, on: local, query: ${JSON.stringify(query)}, into: { type: topic } }
  - { name: wrong, ${every}, on: local, query: SELECT missing FROM nowhere, into: { type: topic } }
  - { name: writes, ${every}, on: local, query: DELETE FROM sales, into: { type: topic } }
  - { name: alters, ${every}, on: reporting, query: DELETE FROM sales, into: { type: topic } }
  - { name: taken, ${every}, on: reporting, query: SELECT 1 AS one, into: { type: table, name: mine } }
`;
  await replica.sql('CREATE TABLE mine (one int)');
  await appendFile(daemon.file, yaml);
  daemon.start();
  await daemon.streaming();
  await setting.equal(['sales']);
  await setting.source.sql("UPDATE sales SET amount = 100 WHERE id = 1");
  await setting.equal(['sales']);
  const text = async (file: string): Promise<string> => readFile(join(directory, file), 'utf8').catch(() => '');
  // Of the day that it is when one looks: it may be midnight.
  const csv = (): Promise<string> => text(`report-${new Date().toISOString().slice(0, 10)}.csv`);
  await eventually(async () => (await csv()) === 'place,sold,total\r\n"north, ""upper""",5,30\r\nsouth,5,124\r\n,1,5\r\n', { what: `the file; it is ${await csv()}` });
  await eventually(async () => (await text('report.json')).includes('{"place":"south","sold":"5"'), { what: 'the lines' });
  await eventually(async () => JSON.stringify(await replica.sql('SELECT * FROM report ORDER BY place')) === '[{"place":"north, \\"upper\\"","sold":"5","total":"30"},{"place":"south","sold":"5","total":"124"},{"place":null,"sold":"1","total":"5"}]', { what: 'the table' });
  // On a busy machine a run takes longer than until the next one is due, which is then skipped.
  const outcomes = new Map<string, string>();
  await eventually(async () => {
    const { jobs } = await daemon.status();
    for (const { name, last } of jobs) if (last !== null && last.outcome !== 'skipped') outcomes.set(name, `${last.outcome}: ${last.error}`);
    return outcomes.size === jobs.length;
  }, { what: 'each job to have run', timeoutMs: 60_000 });
  const outcome = (name: string): string => outcomes.get(name) ?? '';
  assert.match(outcome('wrong'), /^failed: the replica refuses the query: no such table: nowhere/);
  assert.match(outcome('writes'), /^failed: the replica refuses the query: it writes, and a job reads/);
  assert.match(outcome('alters'), /^failed: the replica refuses the query/);
  assert.match(outcome('taken'), /^failed: the table public\.mine is there already, and is no job's result/);
  await daemon.stop();
  const name = /name: (\w+)/.exec(await readFile(daemon.file, 'utf8'))?.[1] ?? '';
  const runs = JSON.parse(`[${(await tailrace(['consume', `${name}.job.told`, daemon.file, '--from-beginning', '--format', 'json'])).out.trim().split('\n').join(',')}]`) as { value: { outcome: string; id: string; rows: number; place: { epoch: number; commitLsn: string } } }[];
  const rows = (await tailrace(['consume', `${name}.job.told.rows`, daemon.file, '--from-beginning', '--format', 'json'])).out;
  const last = runs.findLast(({ value }) => value.outcome === 'ok')?.value;
  assert.ok(last !== undefined, 'a run that was ok');
  assert.match(last.place.commitLsn, /^[0-9A-F]+\/[0-9A-F]+$/);
  assert.equal(rows.split(last.id).length - 1, last.rows);
  assert.equal(last.rows, 3);
});
