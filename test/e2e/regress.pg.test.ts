import assert from 'node:assert/strict';
import { test } from 'node:test';
import { allRegressScripts, regressScripts } from '../support/postgres-regress.ts';
import { RegressStage } from '../support/regress-stage.ts';

/** What is played before anything is captured, while changes stream (with a kill -9 in between), and while no daemon runs. */
const before = ['test_setup', 'insert_conflict', 'create_misc', 'rangetypes', 'arrays'];
const live = [
  'insert', 'create_table', 'constraints', 'triggers', 'inherit', 'update', 'delete', 'prepared_xacts', 'matview', 'identity', 'generated', 'create_table_like', 'merge', 'foreign_key', 'cluster', 'enum',
  'multirangetypes', 'numeric', 'jsonb', 'copy2', 'temp', 'domain', 'truncate', 'alter_table', 'rowtypes', 'with', 'plpgsql', 'updatable_views',
];
const late = ['returning', 'hash_part', 'sequence', 'partition_join', 'indexing', 'replica_identity', 'rules', 'compression', 'typed_table'];

test("Postgres's own regression tests, as a workload, give tables that are equal in every replica, or said to be left out", async (t) => {
  const scripts = regressScripts();
  if (scripts.missing !== undefined) return t.skip(scripts.missing);
  // `all`, or names: a longer search than every run can pay for.
  const chosen = process.env['TAILRACE_TEST_REGRESS'];
  const playedLive = chosen === undefined ? live : chosen === 'all' ? allRegressScripts(scripts.folder).filter((name) => !before.includes(name) && !late.includes(name)) : chosen.split(',');
  const stage = await RegressStage.create(t, scripts.folder);
  let errors = await stage.play(before);
  stage.start();
  await stage.daemon.streaming();
  const middle = playedLive.length >> 1;
  errors += await stage.play(playedLive.slice(0, middle));
  await stage.daemon.kill();
  stage.start();
  errors += await stage.play(playedLive.slice(middle));
  await stage.daemon.streaming();
  await stage.daemon.stop();
  errors += await stage.play(late);
  stage.start();
  const { equal, rows, flagged, different } = await stage.compare();
  t.diagnostic(`${before.length + playedLive.length + late.length} scripts, of whose statements ${errors} failed as they should: ${equal} tables of replicas with ${rows} rows equal, ${flagged.length} left out aloud, ${different.length} different`);
  for (const reason of flagged) t.diagnostic(reason);
  assert.deepEqual(different, []);
  assert.ok(equal > 4 * 100, `${equal} tables of replicas compared`);
});
