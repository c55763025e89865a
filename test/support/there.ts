import assert from 'node:assert/strict';

/** What was read of a table, which must not be gone. */
export function there<T>(read: T | null): T {
  assert.ok(read !== null, 'the table is there');
  return read;
}
