import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { describeTarget, parseConnectionUrl, type TlsKeys } from '../../../src/runtime/postgres/connection-url.ts';

function target(text: string, keys?: TlsKeys): Record<string, unknown> {
  const parsed = parseConnectionUrl(text, keys);
  assert.equal(parsed.problem, undefined);
  if (parsed.problem !== undefined) throw new Error('unreachable');
  const { password, tls, ...rest } = parsed.target;
  return { ...rest, password: password?.reveal() ?? null, mode: tls.mode };
}

function problem(text: string, keys?: TlsKeys): string {
  const parsed = parseConnectionUrl(text, keys);
  assert.notEqual(parsed.problem, undefined, text);
  return parsed.problem ?? '';
}

test('every part of a URL is read', () => {
  assert.deepEqual(target('postgres://u:p@db.example:6543/shop'), { host: 'db.example', port: 6543, user: 'u', password: 'p', database: 'shop', mode: 'verify-full' });
  assert.deepEqual(target('postgresql://u@h/d?sslmode=require'), { host: 'h', port: 5432, user: 'u', password: null, database: 'd', mode: 'require' });
  assert.deepEqual(target('postgres://u:p@[::1]:5433/d'), { host: '::1', port: 5433, user: 'u', password: 'p', database: 'd', mode: 'prefer' });
  assert.deepEqual(target('postgres://u:p@/d?host=/var/run/postgresql&port=5433'), { host: '/var/run/postgresql', port: 5433, user: 'u', password: 'p', database: 'd', mode: 'prefer' });
  assert.deepEqual(target('postgres://u:p@%2Ftmp%2Fsockets/d').host, '/tmp/sockets');
  assert.deepEqual(target('postgres://u%40corp:%3A%2F%3F%23%25%20ü@h/a%22b%3Dc'), { host: 'h', port: 5432, user: 'u@corp', password: ':/?#% ü', database: 'a"b=c', mode: 'verify-full' });
  assert.equal(target('postgres://u:a:b@h/d')['password'], 'a:b');
  assert.equal(target('postgres://u:a@b@h/d')['password'], 'a@b');
});

test('any user, password and database survive the way through a URL', () => {
  const text = fc.string({ unit: 'grapheme', minLength: 1 }).filter((value) => !value.includes('\0') && value.isWellFormed());
  fc.assert(
    fc.property(text, text, text, (user, password, database) => {
      const url = `postgres://${encodeURIComponent(user)}:${encodeURIComponent(password)}@h/${encodeURIComponent(database)}`;
      const found = target(url);
      assert.deepEqual([found['user'], found['password'], found['database']], [user, password, database]);
    }),
  );
});

for (const [host, mode] of [
  ['localhost', 'prefer'], ['127.0.0.1', 'prefer'], ['127.9.9.9', 'prefer'], ['[::1]', 'prefer'],
  ['db', 'verify-full'], ['10.0.0.1', 'verify-full'], ['localhost.example', 'verify-full'], ['127.0.0.1.example', 'verify-full'],
] as const) {
  test(`without sslmode, ${host} gets ${mode}`, () => assert.equal(target(`postgres://u@${host}/d`)['mode'], mode));
}

test('require with a root certificate checks the chain, as libpq does', () => {
  assert.equal(target('postgres://u@h/d?sslmode=require&sslrootcert=/ca.pem')['mode'], 'verify-ca');
  assert.equal(target('postgres://u@h/d?sslmode=require&sslrootcert=system')['mode'], 'verify-full');
  assert.equal(target('postgres://u@h/d', { sslmode: 'require', sslrootcert: '/ca.pem' })['mode'], 'verify-ca');
});

for (const [text, expected] of [
  ['', /not a connection URL/], ['mysql://u:p@h/d', /not a connection URL/], ['host=h user=u', /not a connection URL/],
  ['postgres://u:p@h', /names no database/], ['postgres://u:p@h/', /names no database/], ['postgres://h/d', /names no user/],
  ['postgres://:p@h/d', /names no user/], ['postgres://u:p@/d', /names no host/], ['postgres://u:p@h:0/d', /1 to 65535/],
  ['postgres://u:p@h:65536/d', /1 to 65535/], ['postgres://u:p@h:x/d', /cannot be read/], ['postgres://u:p@a,b/d', /several hosts/],
  ['postgres://u:p@h/d?sslmode=verifyfull', /sslmode is one of disable, allow, prefer, require, verify-ca, verify-full/],
  ['postgres://u:p@h/d?ssl=true', /the parameter ssl that is not known/], ['postgres://u:p@h/d?sslmode=require&sslmode=disable', /sslmode twice/],
  ['postgres://u:p@h/d?sslmode=verify-ca', /needs sslrootcert/], ['postgres://u:p@h/d?sslcert=/c', /belong together/],
  ['postgres://u:p@h/d?host=/x', /another by \?host=/], ['postgres://u:%zz@h/d', /percent-encoded/], ['postgres://u:p@h/d?sslnegotiation=direct', undefined],
  ['postgres://u:p@localhost/d?sslnegotiation=direct', /needs sslmode/], ['postgres://u:%00@h/d', /NUL/],
] as const) {
  test(`${text || 'an empty text'}: ${expected?.source ?? 'accepted'}`, () => {
    if (expected === undefined) target(text);
    else assert.match(problem(text), expected);
  });
}

test('what stands in the URL and beside it is refused', () => {
  assert.match(problem('postgres://u@h/d?sslmode=require', { sslmode: 'require' }), /keep one of the two/);
});

test('a problem never repeats what may be a password', () => {
  for (const text of [
    'postgres://u:s3cret#x@h/d', 'postgres://u:s3cret/x@h/d', 'postgres://u:s3cret?x@h/d', 'postgres://u:1?s3cret@h/d', 'postgres://u:s3cret%@h/d',
    'postgres://u:s3cret', 'postgres:/u:s3cret@h/d', 'u:s3cret@h/d', 'postgres://u:s3cret@h:x/d', 'postgres://u:s3cret@h/d?x=s3cret', 'postgres://u:9?x=1&s3cret@h/d',
  ]) assert.doesNotMatch(problem(text), /s3cret/, text);
});

test('any text is either a target or a problem, and a password is never shown', () => {
  fc.assert(
    fc.property(fc.string(), fc.stringMatching(/^[a-z0-9]{8}$/), (noise, secret) => {
      const parsed = parseConnectionUrl(`postgres://u:${secret}${noise}@h/d`);
      if (parsed.problem === undefined) assert.doesNotMatch(JSON.stringify(parsed.target), new RegExp(`${secret}.*password`));
      else assert.equal(parsed.problem.includes(secret), false);
    }),
  );
});

test('a target is described without its user and password', () => {
  const parsed = parseConnectionUrl('postgres://u:p@[fe80::1]:5433/d');
  assert.equal(parsed.problem === undefined && describeTarget(parsed.target), '[fe80::1]:5433/d');
});
