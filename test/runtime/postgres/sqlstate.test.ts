import assert from 'node:assert/strict';
import { test } from 'node:test';
import pg from 'pg';
import { failureKind, isTlsFailure, sqlstateOf } from '../../../src/runtime/postgres/sqlstate.ts';

function reported(sqlstate: string): Error {
  return Object.assign(new pg.DatabaseError('a message', 0, 'error'), { code: sqlstate });
}

for (const [sqlstate, kind] of [
  ['08006', 'unreachable'], ['57P01', 'unreachable'], ['57P02', 'unreachable'], ['57P03', 'unreachable'], ['53300', 'unreachable'], ['53400', 'unreachable'],
  ['40001', 'conflict'], ['40P01', 'conflict'], ['55P03', 'conflict'], ['57014', 'conflict'], ['53100', 'full'], ['53200', 'full'],
  ['28P01', 'refused'], ['28000', 'refused'], ['3D000', 'refused'], ['42501', 'refused'],
  ['42601', 'other'], ['XX000', 'other'], ['23505', 'other'], ['99999', 'other'],
] as const) {
  test(`SQLSTATE ${sqlstate} is ${kind}`, () => {
    assert.equal(failureKind(reported(sqlstate)), kind);
    assert.equal(sqlstateOf(reported(sqlstate)), sqlstate);
  });
}

for (const [code, kind] of [
  ['ECONNREFUSED', 'unreachable'], ['ENOTFOUND', 'unreachable'], ['ETIMEDOUT', 'unreachable'], ['ENOENT', 'unreachable'],
  ['SELF_SIGNED_CERT_IN_CHAIN', 'refused'], ['ERR_TLS_CERT_ALTNAME_INVALID', 'refused'], ['CERT_HAS_EXPIRED', 'refused'], ['NO_TLS', 'refused'],
  ['NO_PASSWORD', 'refused'], ['EACCES', 'other'], ['28P01', 'other'],
] as const) {
  test(`the code ${code} of a driver is ${kind}`, () => assert.equal(failureKind(Object.assign(new Error('x'), { code })), kind));
}

test('what has no code, or is no error, is on no list', () => {
  for (const thing of [new Error('Connection terminated unexpectedly'), 'text', null, undefined, {}]) assert.equal(failureKind(thing), 'other');
});

test('of several addresses that failed, the first says what kind it was', () => {
  assert.equal(failureKind(new AggregateError([Object.assign(new Error('x'), { code: 'ECONNREFUSED' })])), 'unreachable');
});

test('a failure of TLS is told from one that the server reported', () => {
  assert.equal(isTlsFailure(Object.assign(new Error('x'), { code: 'CERT_HAS_EXPIRED' })), true);
  assert.equal(isTlsFailure(Object.assign(new Error('x'), { code: 'ECONNREFUSED' })), false);
  assert.equal(isTlsFailure(reported('28000')), false);
});
