import assert from 'node:assert/strict';
import { test } from 'node:test';
import pg from 'pg';
import { codeFor, sinkError } from '../../../src/sink/postgres/errors.ts';
import { postgresSinkConfig } from '../../../src/sink/postgres/config.ts';
import { leftOutColumns, targetName } from '../../../src/sink/postgres/target-name.ts';
import { tableOf } from '../../contract/sink-samples.ts';

const url = 'postgres://u:secret@localhost/replica';

test('a table goes to its own schema and name unless the config says otherwise', () => {
  const at = (schema: string, name: string, config: object): string => {
    const target = targetName(postgresSinkConfig.parse({ url, ...config }), { schema, name });
    return `${target.schema}|${target.name}`;
  };
  assert.equal(at('shop', 'orders', {}), 'shop|orders');
  assert.equal(at('shop', 'orders', { schema: 'copy' }), 'copy|orders');
  assert.equal(at('shop', 'orders', { schema: 'copy', rename: { 'shop.orders': 'o' } }), 'copy|o');
  assert.equal(at('shop', 'orders', { schema: 'copy', rename: { 'shop.orders': 'other.o.1' } }), 'other|o.1');
  assert.equal(at('shop', 'a.b', { rename: { 'shop.a.b': 'c' } }), 'shop|c');
});

test('unknown keys, names that Postgres would cut off and unqualified tables are refused', () => {
  const bad = [{ uri: url }, { url, schemas: 'x' }, { url, schema: 'x'.repeat(64) }, { url, rename: { orders: 'x' } }, { url, rename: { 'a.b': `s.${'é'.repeat(32)}` } }, { url, rename: { 'a.b': '.x' } }, { url, columns: { 'a.b': { exclude: [] } } }, { url: 'mysql://x' }];
  for (const config of bad) assert.equal(postgresSinkConfig.safeParse(config).success, false, JSON.stringify(config));
});

test('a column of the key cannot be left out, and not every column', () => {
  const table = tableOf({ columns: [['id', 'integer'], ['a', 'text']] });
  assert.equal(leftOutColumns({ columns: { 'public.other': { exclude: ['a'] } } }, table), null);
  assert.deepEqual(leftOutColumns({ columns: { 'public.people': { exclude: ['a', 'unknown'] } } }, table), Uint8Array.of(0, 1));
  assert.throws(() => leftOutColumns({ columns: { 'public.people': { exclude: ['id'] } } }, table), { code: 'config-invalid' });
  assert.throws(() => leftOutColumns({ columns: { 'public.people': { exclude: ['id', 'a'] } } }, { ...table, key: [] }), { code: 'config-invalid' });
});

test('errors are told apart by SQLSTATE: what passes by itself, what asks somebody, what a row did', () => {
  const states: Record<string, string> = {
    '57P01': 'sink-unreachable', '53100': 'sink-unreachable', '40P01': 'sink-unreachable', '55P03': 'sink-unreachable', '25006': 'sink-unreachable', '08006': 'sink-unreachable',
    '28P01': 'sink-refused', '42501': 'sink-refused', '3D000': 'sink-refused',
    '22P02': 'sink-data', '23514': 'sink-data', '42804': 'sink-data', '54000': 'sink-data', '21000': 'sink-data', '22P05': 'sink-data',
    '42P01': 'sink-conflict', '42703': 'sink-conflict', '3F000': 'sink-conflict', '42P07': 'sink-conflict',
  };
  const error = (code: string): pg.DatabaseError => Object.assign(new pg.DatabaseError('invalid input: "secret value"', 1, 'error'), { code, detail: 'Key (a)=(secret value)', constraint: 'c' });
  for (const [state, code] of Object.entries(states)) assert.equal(codeFor(error(state)), code, state);
  assert.equal(codeFor(error('42601')), undefined);
  assert.equal(codeFor(Object.assign(new Error('gone'), { code: 'ECONNRESET' })), 'sink-unreachable');
  assert.equal(codeFor(new Error('anything')), undefined);
  for (const state of ['22P02', '23505', '21000']) {
    const refusal = sinkError(error(state), 'writing public.t');
    assert.doesNotMatch(`${refusal.message} ${JSON.stringify(refusal.cause)}`, /secret/);
    assert.match(refusal.message, new RegExp(`^writing public.t: .*constraint c, SQLSTATE ${state}`));
  }
});
