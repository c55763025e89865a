import assert from 'node:assert/strict';
import { mkdir, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { didYouMean } from '../../src/runtime/did-you-mean.ts';
import { printable, shortened } from '../../src/runtime/printable.ts';
import { realPath } from '../../src/runtime/real-path.ts';
import { tempDirectory } from '../support/temp.ts';

describe('did you mean', () => {
  const known = ['source', 'sinks', 'snapshot', 'log', 'name', 'on_error'];
  for (const [written, meant] of [['souce', 'source'], ['soruce', 'source'], ['Sinks', 'sinks'], ['sink', 'sinks'], ['snapshots', 'snapshot'], ['onerror', 'on_error'], ['lgo', 'log']] as const) {
    test(`${written} is ${meant}`, () => assert.equal(didYouMean(written, known), meant));
  }
  for (const written of ['password', 'x', 'destination', '']) test(`${JSON.stringify(written)} is nothing of it`, () => assert.equal(didYouMean(written, known), undefined));
});

describe('printable text', () => {
  test('never holds what a terminal would obey', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => {
      // oxlint-disable-next-line no-control-regex -- that they are not there is the point
      assert.doesNotMatch(printable(text), /[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/);
    }));
  });
  test('leaves letters of all languages alone', () => assert.equal(printable('Zürich 東京 🎉'), 'Zürich 東京 🎉'));
  test('is never longer than asked, nor cut inside a letter', () => {
    assert.equal(shortened('abcdef', 4), 'abc…');
    assert.equal(shortened('🎉🎉🎉', 4), '🎉…');
    assert.equal(shortened('abcd', 4), 'abcd');
  });
});

test('two names of one place are equal, also of a place that is not there yet', async () => {
  const folder = await tempDirectory();
  await mkdir(join(folder, 'a'));
  await symlink(join(folder, 'a'), join(folder, 'b'));
  assert.equal(realPath(join(folder, 'b', 'new', 'x.db')), realPath(join(folder, 'b', '..', 'a', 'new', '.', 'x.db')));
  assert.notEqual(realPath(join(folder, 'a', 'x')), realPath(join(folder, 'a', 'y')));
});
