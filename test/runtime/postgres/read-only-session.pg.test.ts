import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openReadOnlySession } from '../../../src/runtime/postgres/read-only-session.ts';
import { sqlstateOf } from '../../../src/runtime/postgres/sqlstate.ts';
import { freshDatabase, targetOf } from '../../support/postgres.ts';
import { eventually } from '../../support/wait.ts';

test('nothing is changed by accident, and a query ends when whoever asked has gone', async (t) => {
  const database = await freshDatabase(t);
  const session = await openReadOnlySession(targetOf(database.url), 'tailrace/test');
  await assert.rejects(session.query('CREATE TABLE x (id int)'), (error) => sqlstateOf(error) === '25006');
  const { pid } = session;
  const running = session.query('SELECT pg_sleep(600)').catch(() => undefined);
  const found = (): Promise<unknown[]> => database.sql("SELECT FROM pg_stat_activity WHERE pid = $1 AND state = 'active'", [pid]);
  await eventually(async () => (await found()).length === 1);
  session.destroy();
  await running;
  await eventually(async () => (await found()).length === 0, { what: 'the end of the backend' });
});
