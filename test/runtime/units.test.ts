import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { formatDuration, formatSize, parseDuration, parseSize, parseTimer } from '../../src/runtime/units.ts';

describe('durations', () => {
  for (const [text, value] of [['500ms', 500], ['30s', 30_000], ['5m', 300_000], ['12h', 43_200_000], ['7d', 604_800_000], ['1.5h', 5_400_000], ['0s', 0], [' 5 s ', 5000]] as const) {
    test(`${text} is ${value} ms`, () => assert.deepEqual(parseDuration(text), { value }));
  }
  for (const text of ['', '5', '5 minutes', '-1s', '1e9s', 'NaN', 'Infinity', '5S', '5 5s', 's', '1..5s', '9'.repeat(15) + 'd', '٥s']) {
    test(`${JSON.stringify(text)} is refused with the forms that are not`, () => assert.match(parseDuration(text).problem ?? '', /expected a duration such as 500ms, 30s/));
  }
  test('bounds are inclusive and named', () => {
    assert.deepEqual(parseDuration('1s', { min: '1s', max: '1s' }), { value: 1000 });
    assert.deepEqual(parseDuration('999ms', { min: '1s' }), { problem: 'at least 1s' });
    assert.deepEqual(parseDuration('2d', { max: '1d' }), { problem: 'at most 1d' });
  });
  test('what would overflow a timer, and so fire at once, is refused', () => {
    assert.deepEqual(parseTimer('24d'), { value: 24 * 86_400_000 });
    assert.match(parseTimer('25d').problem ?? '', /at most 24d/);
  });
});

describe('sizes', () => {
  for (const [text, value] of [['10MB', 10_000_000], ['1GiB', 2 ** 30], ['512KiB', 524_288], ['1 TB', 1e12], ['7B', 7]] as const) {
    test(`${text} is ${value} bytes`, () => assert.deepEqual(parseSize(text), { value }));
  }
  for (const text of ['1g', '1GIB', '-1', '0', '1', '10mb', '9'.repeat(15) + 'TB']) {
    test(`${text} is refused`, () => assert.match(parseSize(text).problem ?? '', /expected a size such as/));
  }
});

test('they read back as people say them', () => {
  assert.deepEqual([12, 3400, 59_990, 310_000, 7_500_000, 273_600_000].map(formatDuration), ['12ms', '3.4s', '1m 0s', '5m 10s', '2h 5m', '3d 4h']);
  assert.deepEqual([0, 1023, 1024, 1_600_000, 2 ** 40 * 200].map(formatSize), ['0 B', '1023 B', '1.0 KiB', '1.5 MiB', '200 TiB']);
});
