import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { substitute } from '../../src/config/substitute.ts';

const environment = { A: 'a', EMPTY: '', WILD: 'x${A}$$y' };

describe('references to the environment', () => {
  for (const [text, value] of [
    ['plain', 'plain'],
    ['${A}', 'a'],
    ['x${A}y${A}', 'xaya'],
    ['${A:-b}', 'a'],
    ['${EMPTY}', ''],
    ['${EMPTY:-b}', 'b'],
    ['${NONE:-}', ''],
    ['${NONE:-a:-b}', 'a:-b'],
    ['${NONE:-postgres://u:p@h:5432/d?x=1}', 'postgres://u:p@h:5432/d?x=1'],
    ['pa$word', 'pa$word'],
    ['pa$', 'pa$'],
    ['$$', '$'],
    ['$${A}', '${A}'],
    ['$$${A}', '$a'],
  ] as const) {
    test(`${text} is ${JSON.stringify(value)}`, () => {
      const result = substitute(text, environment);
      assert.equal('text' in result ? result.text : result.problems, value);
    });
  }

  test('what was put in is not looked at again', () => {
    const result = substitute('${WILD}', environment);
    assert.deepEqual(result, { text: 'x${A}$$y', variables: ['WILD'] });
  });

  test('every problem of a text is told, with its place', () => {
    const result = substitute('${NONE} ${1} ${', environment);
    assert.deepEqual('problems' in result && result.problems.map(({ at }) => at), [0, 8, 13]);
  });
});
