import assert from 'node:assert/strict';
import { test } from 'node:test';
import { emptyReport, exitCodeOf, type SinkVerification, type TableState } from '../../../src/pipeline/verify/report.ts';

function sink(states: readonly TableState[], more: Partial<SinkVerification> = {}): SinkVerification {
  return { sink: 'a', tables: states.map((state) => emptyReport('public.t', state)), blocked: [], standstill: null, error: null, ...more };
}

const error = { code: 'sink-unreachable', message: '', remedy: '' } as const;

for (const [rule, sinks, code] of [
  ['all equal is 0', [sink(['equal', 'equal']), sink(['equal'])], 0],
  ['one difference is 4, whatever else is open', [sink(['equal', 'unconfirmed', 'copying', 'unsettled']), sink(['different'], { error })], 4],
  ['a blocked key is a known difference', [sink(['equal'], { blocked: [{ table: 'public.t', key: '["7"]' }] })], 4],
  ['an open row is 3', [sink(['equal', 'unconfirmed', 'unsettled'])], 3],
  ['a table that is being copied is 3', [sink(['copying'])], 3],
  ['a table that is gone at the source is 3', [sink(['gone'])], 3],
  ['a replica that cannot be reached is 3', [sink([], { error }), sink(['equal'])], 3],
  ['a row that never rests is 1', [sink(['equal', 'unsettled'])], 1],
] as const) test(rule, () => assert.equal(exitCodeOf(sinks), code));
