import assert from 'node:assert/strict';
import { test } from 'node:test';
import { judge, judgeWithHistory, type Evidence } from '../../../src/pipeline/verify/judge.ts';
import type { WatchedRow } from '../../../src/source/verifier.ts';

const seen = (state: string, version: string | null, quiet = true): WatchedRow => ({ state, version, quiet });
const nothing = { touched: false, explains: () => false };

const cases: readonly [rule: string, evidence: Evidence, verdict: ReturnType<typeof judge>][] = [
  ['the replica shows what the source showed before', { before: seen('a', '1'), replica: 'a', after: seen('b', '2') }, 'equal'],
  ['the replica shows what the source showed after', { before: seen('a', '1'), replica: 'b', after: seen('b', '2') }, 'equal'],
  ['neither side has the row', { before: undefined, replica: undefined, after: undefined }, 'equal'],
  ['one version all the while, and the replica has another', { before: seen('a', '1'), replica: 'b', after: seen('a', '1') }, 'different'],
  ['one version all the while, and the replica has none', { before: seen('a', '1'), replica: undefined, after: seen('a', '1') }, 'different'],
  ['one version that somebody may be changing', { before: seen('a', '1'), replica: 'b', after: seen('a', '1', false) }, 'unsure'],
  ['the same state in two versions: it may have been another in between', { before: seen('a', '1'), replica: 'b', after: seen('a', '2') }, 'unsure'],
  ['absent both times: it may have been there in between', { before: undefined, replica: 'a', after: undefined }, 'unsure'],
  ['a count has no version', { before: seen('2', null), replica: '1', after: seen('2', null) }, 'unsure'],
  ['it came, and the replica has another', { before: undefined, replica: 'b', after: seen('a', '1') }, 'unsure'],
];
for (const [rule, evidence, verdict] of cases) test(`${rule}: ${verdict}`, () => assert.equal(judge(evidence), verdict));

test('what the log explains is equal', () => {
  assert.equal(judgeWithHistory({ before: undefined, replica: 'a', after: undefined }, { touched: true, explains: () => true }, true), 'equal');
});
test('what the log knows nothing of is different', () => {
  assert.equal(judgeWithHistory({ before: undefined, replica: 'a', after: undefined }, nothing, false), 'different');
});
test('what was touched is looked at again', () => {
  assert.equal(judgeWithHistory({ before: undefined, replica: 'a', after: undefined }, { ...nothing, touched: true }, false), 'changing');
});
test('what is another row now is looked at again', () => {
  assert.equal(judgeWithHistory({ before: undefined, replica: 'b', after: seen('a', '1') }, nothing, false), 'changing');
  assert.equal(judgeWithHistory({ before: seen('a', '1'), replica: 'b', after: seen('a', '2') }, nothing, false), 'changing');
});
test('nothing is different while a transaction hangs that may have written it', () => {
  assert.equal(judgeWithHistory({ before: undefined, replica: 'a', after: undefined }, nothing, true), 'stuck');
});
