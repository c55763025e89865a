import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { rowText } from '../../../src/event/row-text.ts';
import { Histories } from '../../../src/pipeline/verify/row-history.ts';
import { shortMd5 } from '../../../src/runtime/md5.ts';
import { changeOf, tableOf, type ChangeSpec } from '../../contract/change-samples.ts';

const columns = ['id', 'small', 'large'];
const keyed = tableOf([['id', 25], ['small', 25], ['large', 25]], [0]);
const keyless = tableOf([['id', 25], ['small', 25], ['large', 25]], []);

const state = (...texts: readonly (string | null)[]): string => texts.map((text) => (text === null ? '-' : shortMd5(text))).join(',');
const key = (id: string): string => JSON.stringify([id]);
const hash = (...texts: readonly (string | null)[]): string => shortMd5(rowText(texts));

function history(ids: readonly string[], ...changes: readonly (ChangeSpec | 'truncate')[]): Histories {
  const histories = new Histories(ids, { columns, keyed: true });
  for (const change of changes) histories.add(keyed, change === 'truncate' ? { op: 't' } : changeOf(keyed, change));
  return histories;
}

function bag(ids: readonly string[], ...changes: readonly (ChangeSpec | 'truncate')[]): Histories {
  const histories = new Histories(ids, { columns, keyed: false });
  for (const change of changes) histories.add(keyless, change === 'truncate' ? { op: 't' } : changeOf(keyless, change));
  return histories;
}

describe('what the log says of a row with a key', () => {
  test('nothing, when no change was of it: only the state that it had is explained', () => {
    const of = history([key('1')], { op: 'u', new: ['2', 'a', 'b'] }).of(key('1'));
    assert.equal(of.touched, false);
    assert.equal(of.explains(state('1', 'a', 'b'), state('1', 'a', 'b')), true);
    assert.equal(of.explains(state('1', 'a', 'b'), state('2', 'a', 'b')), false);
    assert.equal(of.explains(undefined, undefined), true);
    assert.equal(of.explains(state('1', 'a', 'b'), undefined), false);
  });

  test('every state that it went through, its absence too', () => {
    const of = history([key('1')], { op: 'u', new: ['1', 'x', null] }, { op: 'd', old: ['1', null, null] }, { op: 'c', new: ['1', 'y', 'z'] }).of(key('1'));
    assert.equal(of.touched, true);
    for (const seen of [state('1', 'a', 'b'), state('1', 'x', null), undefined, state('1', 'y', 'z')]) assert.equal(of.explains(state('1', 'a', 'b'), seen), true, String(seen));
    for (const seen of [state('1', 'x', 'b'), state('1', 'y', null)]) assert.equal(of.explains(state('1', 'a', 'b'), seen), false);
  });

  test('an update that does not send a column leaves it as it was before', () => {
    const of = history([key('1')], { op: 'u', new: ['1', 'x', undefined] }, { op: 'u', new: ['1', 'y', undefined] }).of(key('1'));
    assert.equal(of.explains(state('1', 'a', 'LARGE'), state('1', 'y', 'LARGE')), true);
    assert.equal(of.explains(state('1', 'a', 'LARGE'), state('1', 'y', 'other')), false);
    assert.equal(of.explains(undefined, state('1', 'y', 'LARGE')), false);
  });

  test('a column that is not sent is taken from the whole old row where that came along', () => {
    const of = history([key('1')], { op: 'u', old: ['1', 'a', 'LARGE'], oldKind: 'full', new: ['1', 'x', undefined] }).of(key('1'));
    assert.equal(of.explains(undefined, state('1', 'x', 'LARGE')), true);
    assert.equal(of.explains(state('1', 'a', 'LARGE'), undefined), false);
  });

  test('a key change takes the old key away and brings the new one', () => {
    const histories = history([key('1'), key('2')], { op: 'u', old: ['1', null, null], new: ['2', 'a', 'b'] });
    assert.equal(histories.of(key('1')).explains(state('1', 'a', 'b'), undefined), true);
    assert.equal(histories.of(key('2')).explains(undefined, state('2', 'a', 'b')), true);
  });

  test('an update that sends the old key without changing it takes nothing away', () => {
    const of = history([key('1')], { op: 'u', old: ['1', null, null], new: ['1', 'a', 'b'] }).of(key('1'));
    assert.equal(of.explains(state('1', 'x', 'y'), undefined), false);
  });

  test('a truncate takes every row away', () => {
    const histories = history([key('1'), key('2')], 'truncate', { op: 'c', new: ['2', 'a', 'b'] });
    assert.equal(histories.of(key('1')).explains(state('1', 'a', 'b'), undefined), true);
    assert.equal(histories.of(key('1')).touched, true);
    assert.equal(histories.of(key('2')).explains(undefined, state('2', 'a', 'b')), true);
  });

  test('a state that cannot be told is never explained, and counts as touched', () => {
    const histories = history([key('1')]);
    histories.lost();
    assert.equal(histories.of(key('1')).touched, true);
    assert.equal(histories.of(key('1')).explains(state('1', 'a', 'b'), undefined), false);
  });

  test('columns are found by their names, in whatever order the event has them', () => {
    const other = tableOf([['large', 25], ['gone', 25], ['id', 25], ['small', 25]], [2]);
    const histories = new Histories([key('1')], { columns, keyed: true });
    histories.add(other, changeOf(other, { op: 'c', new: ['L', 'x', '1', 's'] }));
    assert.equal(histories.of(key('1')).explains(undefined, state('1', 's', 'L')), true);
  });
});

describe('what the log says of equal rows without a key', () => {
  const row = ['1', 'a', null];
  const id = hash('1', 'a', null);

  test('how many came and went bounds how many there can have been', () => {
    const of = bag([id], { op: 'c', new: row }, { op: 'c', new: row }, { op: 'd', old: row, oldKind: 'full' }).of(id);
    assert.equal(of.touched, true);
    assert.deepEqual([0, 1, 2, 3, 4, 5, 6].filter((n) => of.explains('3', String(n))), [2, 3, 4, 5]);
  });

  test('an update takes one of the old away and brings one of the new', () => {
    const next = hash('1', 'b', null);
    const histories = bag([id, next], { op: 'u', old: row, oldKind: 'full', new: ['1', 'b', undefined] });
    assert.equal(histories.of(id).explains('1', undefined), true);
    assert.equal(histories.of(next).explains(undefined, '1'), true);
    assert.equal(histories.of(next).explains(undefined, '2'), false);
  });

  test('rows of other hashes do not touch it', () => {
    const of = bag([id], { op: 'c', new: ['1', 'a', ''] }).of(id);
    assert.equal(of.touched, false);
    assert.equal(of.explains('1', '2'), false);
  });

  test('after a truncate there may be none', () => {
    const of = bag([id], 'truncate').of(id);
    assert.equal(of.touched, true);
    assert.equal(of.explains('3', undefined), true);
    assert.equal(of.explains('3', '4'), false);
  });
});
