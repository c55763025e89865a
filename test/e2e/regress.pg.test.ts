import assert from 'node:assert/strict';
import { test } from 'node:test';
import { allRegressScripts, regressScripts } from '../support/postgres-regress.ts';
import { RegressStage } from '../support/regress-stage.ts';

/** What is played before anything is captured, while changes stream, and between a kill -9 and the next start. */
const before = ['test_setup', 'insert_conflict', 'enum'];
const live = ['insert', 'constraints', 'triggers', 'inherit', 'update', 'prepared_xacts', 'identity', 'generated', 'foreign_key', 'copy2', 'domain', 'truncate', 'alter_table', 'rowtypes'];
const late = ['delete', 'hash_part', 'sequence', 'replica_identity', 'cluster', 'matview', 'typed_table', 'create_table_like'];

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
  errors += await stage.play(late);
  stage.start();
  errors += await stage.play(playedLive.slice(middle));
  const { equal, rows, flagged, kept, different } = await stage.compare();
  t.diagnostic(`${before.length + playedLive.length + late.length} scripts, of whose statements ${errors} failed as they should: ${equal} tables of replicas with ${rows} rows equal, ${flagged.length} left out aloud, ${kept} kept of those that were dropped, ${different.length} different`);
  for (const reason of flagged) t.diagnostic(reason);
  assert.deepEqual(different, []);
  if (chosen === undefined) assert.ok(equal > 4 * 80, `${equal} tables of replicas compared`);
});
