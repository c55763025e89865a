import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { inspect } from 'node:util';
import { TailraceError } from '../../src/runtime/errors.ts';
import { createLogger } from '../../src/runtime/logger.ts';
import { redact, Secret } from '../../src/runtime/secret.ts';

const canary = 's3cr3t-CANARY';
const url = `postgres://cdc:${canary}@db:5432/shop?sslmode=require`;

describe('a secret', () => {
  test('shows itself in no way but reveal', () => {
    const secret = new Secret(canary);
    for (const text of [[secret].join(), String(secret), JSON.stringify({ secret }), inspect({ secret }, { showHidden: true, depth: 9 }), Object.entries(secret).join(), Object.getOwnPropertyNames(secret).join()]) {
      assert.ok(!text.includes(canary), text);
    }
    assert.equal(secret.reveal(), canary);
  });
});

describe('text of others', () => {
  for (const text of [
    url,
    `connect to "${url}" failed`,
    `postgres://cdc:${canary}@[::1]/x`,
    `kafka://u:${canary}@b1:9092,b2:9092`,
    `password=${canary} host=db`,
    `host=db password='${canary}'`,
    `{"password":"${canary}"}`,
    `PASSWORD: ${canary}`,
    `?user=u&password=${canary}&x=1`,
    `token=${canary}`,
  ]) {
    test(`${text.replace(canary, '…')} loses its secret`, () => assert.ok(!redact(text).includes(canary), redact(text)));
  }
  test('what is no secret stays', () => {
    for (const text of ['postgres://db:5432/shop', 'a@b.example', 'the password is wrong', 'host=db user=cdc']) assert.equal(redact(text), text);
  });
});

describe('a log line', () => {
  const lineOf = (write: (logger: ReturnType<typeof createLogger>) => void): string => {
    let lines = '';
    write(createLogger({ level: 'trace', destination: { write: (line) => void (lines += line) } }));
    return lines;
  };

  test('never holds a secret, wherever it hangs', () => {
    const driverError = Object.assign(new Error(`could not connect to ${url}`), { config: { password: canary, connectionString: url }, client: { connectionParameters: { password: canary } } });
    const lines = lineOf((logger) => {
      logger.info({ url, secret: new Secret(canary), nested: { password: canary, deep: { url } } }, 'fields');
      logger.error({ err: driverError }, 'a driver’s error');
      logger.error({ err: new TailraceError('source-refused', `the login is refused: ${url}`, { cause: driverError, remedy: `psql ${url}` }) }, 'our error');
      logger.child({ url, sasl: { password: canary } }).warn({ error: driverError }, 'a child');
    });
    assert.equal(lines.trim().split('\n').length, 4);
    assert.ok(!lines.includes(canary), lines);
    assert.ok(!lines.includes(Buffer.from(canary).toString('base64')));
  });

  test('never holds a row that a driver hangs on its error', () => {
    const error = Object.assign(new Error('duplicate key value violates unique constraint "people_pkey"'), { code: '23505', detail: 'Key (email)=(jane@example.org) already exists.', row: { email: 'jane@example.org' } });
    const lines = lineOf((logger) => logger.error({ err: error }, 'refused'));
    assert.ok(!lines.includes('jane@'), lines);
    assert.ok(lines.includes('"code":"23505"'));
  });

  test('says level, time and error the same way everywhere', () => {
    const line = JSON.parse(lineOf((logger) => logger.error({ err: new TailraceError('gap', 'five changes are missing') }, 'stopped'))) as Record<string, unknown>;
    assert.equal(line['level'], 'error');
    assert.match(String(line['time']), /^\d{4}-\d\d-\d\dT/);
    const { code, message, remedy } = line['err'] as Record<string, string>;
    assert.deepEqual([code, message], ['gap', 'five changes are missing']);
    assert.match(remedy ?? '', /snapshots/);
  });
});
