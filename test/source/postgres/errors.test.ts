import assert from 'node:assert/strict';
import { test } from 'node:test';
import pg from 'pg';
import { sourceError } from '../../../src/source/postgres/errors.ts';

test('D7: a table that is dropped in the middle of a question about the catalog is asked about again, and stops nothing for good', () => {
  const codeOf = (message: string): string => sourceError(Object.assign(new pg.DatabaseError(message, 0, 'error'), { code: 'XX000' }), 'asking').code;
  assert.equal(codeOf('could not open relation with OID 16406'), 'source-unreachable');
  assert.equal(codeOf('cache lookup failed for relation 16406'), 'source-unreachable');
  assert.equal(codeOf('invalid memory alloc request size 1132462083'), 'source-unreadable');
});
