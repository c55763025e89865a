import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { PgConnection } from '../../../src/runtime/postgres/connection.ts';
import { parseConnectionUrl, type ConnectionTarget } from '../../../src/runtime/postgres/connection-url.ts';
import { failureKind } from '../../../src/runtime/postgres/sqlstate.ts';
import { openReplication } from '../../../src/source/postgres/open-replication.ts';
import { hasOpenssl, makeAuthority, makeCertificate, text, type Certificate } from '../../support/certificates.ts';
import { startPostgres, type EmbeddedPostgres } from '../../support/postgres.ts';
import { tempDirectory } from '../../support/temp.ts';
import { eventually } from '../../support/wait.ts';
import { sourceOn, Tail } from './support.ts';

const options = { applicationName: 'tailrace/tls' };

function targetOf(url: string): ConnectionTarget {
  const parsed = parseConnectionUrl(url);
  if (parsed.problem !== undefined) throw new Error(parsed.problem);
  return parsed.target;
}

/** Whether each kind of connection is encrypted; both are made by the same URL. */
async function encrypted(url: string): Promise<boolean[]> {
  const target = targetOf(url);
  const ordinary = await PgConnection.open(target, options);
  try {
    const [row] = await ordinary.query<{ ssl: boolean }>('SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()');
    const replication = await openReplication(target, options);
    try {
      const [sender] = await ordinary.query<{ ssl: boolean }>("SELECT s.ssl FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid) WHERE a.backend_type = 'walsender' AND a.application_name = 'tailrace/tls'");
      return [row?.ssl === true, sender?.ssl === true];
    } finally {
      await replication.dispose();
    }
  } finally {
    await ordinary.close();
  }
}

/** Both kinds of connection are refused, by the same code. */
async function refused(url: string, code: string | RegExp): Promise<void> {
  const target = targetOf(url);
  for (const open of [() => PgConnection.open(target, options), () => openReplication(target, options)]) {
    await assert.rejects(open(), (error: Error & { code?: string }) => {
      assert.match(error.code ?? '', typeof code === 'string' ? new RegExp(`^${code}$`) : code);
      assert.equal(failureKind(error), 'refused', error.message);
      return true;
    });
  }
}

describe('TLS, in both kinds of connection', { skip: hasOpenssl ? false : 'openssl is not installed' }, () => {
  let directory = '';
  let authority: Certificate;
  let stranger: Certificate;
  let server: EmbeddedPostgres;

  const url = (query: string, host = 'localhost'): string => {
    const made = new URL(server.url());
    made.hostname = host;
    return `${made.href}?${query}`;
  };

  // `after` inside of `before` would end with it.
  const cleanups: (() => Promise<void>)[] = [];
  const scope = { after: (cleanup: () => Promise<void>) => void cleanups.push(cleanup) };
  after(async () => {
    for (const cleanup of cleanups.reverse()) await cleanup();
  });

  before(async () => {
    directory = await tempDirectory(scope);
    authority = makeAuthority(directory, 'authority');
    stranger = makeAuthority(directory, 'stranger');
    const own = await makeCertificate(directory, authority, { name: 'server', alternativeNames: 'DNS:localhost' });
    const map = [
      'hostssl all certified 127.0.0.1/32 cert', 'hostssl replication certified 127.0.0.1/32 cert',
      'hostssl all only_tls 127.0.0.1/32 scram-sha-256', 'hostssl replication only_tls 127.0.0.1/32 scram-sha-256',
      'hostnossl all only_plain 127.0.0.1/32 scram-sha-256', 'hostnossl replication only_plain 127.0.0.1/32 scram-sha-256',
      'host all clear 127.0.0.1/32 password', 'host all postgres 127.0.0.1/32 scram-sha-256', 'host all postgres ::1/128 scram-sha-256',
    ];
    server = await startPostgres({
      settings: { ssl: 'on', ssl_cert_file: 'server.crt', ssl_key_file: 'server.key', ssl_ca_file: 'ca.crt', listen_addresses: '127.0.0.1' },
      files: { 'server.crt': text(own.cert), 'server.key': text(own.key), 'ca.crt': text(authority.cert) },
      hba: `${map.join('\n')}\n`,
    }, scope);
    for (const role of ['certified', 'only_tls', 'only_plain', 'clear']) await server.sql(`CREATE ROLE ${role} LOGIN REPLICATION PASSWORD 'pw'`);
  });

  const as = (role: string, query: string): string => url(query).replace(/\/\/[^@]*@/, `//${role}:pw@`);

  test('disable does without, prefer and require take it without looking', async () => {
    assert.deepEqual(await encrypted(url('sslmode=disable')), [false, false]);
    assert.deepEqual(await encrypted(url('sslmode=allow')), [false, false]);
    assert.deepEqual(await encrypted(url('')), [true, true]);
    assert.deepEqual(await encrypted(url('sslmode=prefer')), [true, true]);
    assert.deepEqual(await encrypted(url('sslmode=require', '127.0.0.1')), [true, true]);
  });

  test('verify-ca looks at the authority and not at the name', async () => {
    assert.deepEqual(await encrypted(url(`sslmode=verify-ca&sslrootcert=${authority.cert}`, '127.0.0.1')), [true, true]);
    await refused(url(`sslmode=verify-ca&sslrootcert=${stranger.cert}`), /SELF_SIGNED|UNABLE_TO/);
    await refused(url(`sslmode=require&sslrootcert=${stranger.cert}`), /SELF_SIGNED|UNABLE_TO/);
  });

  test('verify-full looks at both', async () => {
    assert.deepEqual(await encrypted(url(`sslmode=verify-full&sslrootcert=${authority.cert}`)), [true, true]);
    await refused(url(`sslmode=verify-full&sslrootcert=${authority.cert}`, '127.0.0.1'), 'ERR_TLS_CERT_ALTNAME_INVALID');
    await refused(url(`sslmode=verify-full&sslrootcert=${stranger.cert}`), /SELF_SIGNED|UNABLE_TO/);
    await refused(url('sslmode=verify-full'), /SELF_SIGNED|UNABLE_TO/);
    await refused(url('sslmode=verify-full&sslrootcert=system'), /SELF_SIGNED|UNABLE_TO/);
  });

  test('TLS without asking first', async () => {
    assert.deepEqual(await encrypted(url(`sslmode=verify-full&sslrootcert=${authority.cert}&sslnegotiation=direct`)), [true, true]);
  });

  test('allow turns to TLS, and prefer away from it, where pg_hba.conf says so', async () => {
    assert.deepEqual(await encrypted(as('only_tls', 'sslmode=allow')).catch(String), [true, true]);
    await refused(as('only_tls', 'sslmode=disable'), '28000');
    await refused(as('only_plain', 'sslmode=require'), '28000');
    const connection = await PgConnection.open(targetOf(as('only_plain', 'sslmode=prefer')), options);
    await connection.close();
  });

  test('a client certificate is the login, its key encrypted or not', async () => {
    const plain = await makeCertificate(directory, authority, { name: 'certified' });
    assert.deepEqual(await encrypted(as('certified', `sslmode=require&sslcert=${plain.cert}&sslkey=${plain.key}`)), [true, true]);
    await refused(as('certified', 'sslmode=require'), /28000|ERR_SSL/);
    const locked = await makeCertificate(directory, authority, { name: 'certified', password: 'open sesame' });
    assert.deepEqual(await encrypted(as('certified', `sslmode=require&sslcert=${locked.cert}&sslkey=${locked.key}&sslpassword=open%20sesame`)), [true, true]);
  });

  test('a certificate file that is not there, or is none, is a problem of the configuration', async () => {
    for (const path of ['/nowhere/ca.pem', '/dev/null']) {
      await assert.rejects(PgConnection.open(targetOf(url(`sslmode=verify-ca&sslrootcert=${path}`)), options), { code: 'config-invalid' });
    }
  });

  test('a wrong password is refused once, not tried again without TLS', async () => {
    const before = (await server.serverLog()).split('password authentication failed').length;
    await assert.rejects(PgConnection.open(targetOf(url('sslmode=prefer').replace(/:[^:@]*@/, ':wrong@')), options), { code: '28P01' });
    assert.equal((await server.serverLog()).split('password authentication failed').length, before + 1);
  });

  test('without a password the server asks in vain', async () => {
    await refused(url('').replace(/:[^:@/]*@/, '@'), 'NO_PASSWORD');
  });

  test('the whole source speaks TLS', async (t) => {
    await server.sql('CREATE TABLE a (id int PRIMARY KEY)');
    const source = sourceOn(url(''), { maxQueueBytes: 50_000, config: { sslmode: 'verify-full', sslrootcert: authority.cert } });
    const session = await source.connect({ signal: AbortSignal.timeout(30_000) });
    t.after(() => session.close());
    const rows = await server.sql<{ ssl: boolean }>("SELECT s.ssl FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid) WHERE a.application_name LIKE 'tailrace/t-%'");
    assert.deepEqual(rows, [{ ssl: true }, { ssl: true }]);
    // Back-pressure and gulps, through TLS: nobody pulls at first.
    await server.sql("INSERT INTO a SELECT generate_series(1, 50000)");
    const tail = new Tail(session);
    await eventually(() => tail.commits().length === 1);
    assert.equal(tail.items.filter((item) => item.op === 'c').length, 50_000);
    const wrong = sourceOn(url(''), { config: { sslmode: 'verify-full', sslrootcert: stranger.cert } });
    await assert.rejects(wrong.connect({ signal: AbortSignal.timeout(30_000) }), { code: 'source-refused', remedy: /sslmode/ });
  });

  test('a proxy that says there is no TLS gets nothing out of us', async (t) => {
    const { listener, heard } = await sayingNo(server, t);
    const port = (listener.address() as AddressInfo).port;
    const through = (query: string): string => {
      const made = new URL(server.url());
      made.hostname = 'localhost';
      made.port = String(port);
      return `${made.href}?${query}`;
    };
    for (const mode of ['require', `verify-ca&sslrootcert=${authority.cert}`, `verify-full&sslrootcert=${authority.cert}`]) {
      heard.bytes = 0;
      await refused(through(`sslmode=${mode}`), 'NO_TLS');
      assert.equal(heard.bytes, 16, 'twice the eight bytes that ask for TLS');
    }
    assert.deepEqual(await encrypted(through('sslmode=prefer')), [false, false]);
  });
});

test('a password in clear text is not sent over a connection without TLS', async (t) => {
  const listener = createServer((socket) => {
    let heard = 0;
    socket.on('error', () => {});
    socket.on('data', (bytes) => {
      heard += bytes.length;
      // AuthenticationCleartextPassword
      if (heard === bytes.length) socket.write(Uint8Array.of(0x52, 0, 0, 0, 8, 0, 0, 0, 3));
      else assert.fail('the password was sent');
    });
  });
  listener.listen(0, '0.0.0.0');
  await once(listener, 'listening');
  t.after(() => listener.close());
  // An address of this machine that does not look like one.
  const url = `postgres://u:p@0.0.0.0:${(listener.address() as AddressInfo).port}/d?sslmode=disable`;
  await assert.rejects(PgConnection.open(targetOf(url), options), { code: 'CLEARTEXT_PASSWORD' });
});

/** A proxy that answers the question for TLS by N, and hands everything else on. */
async function sayingNo(server: EmbeddedPostgres, t: { after(fn: () => void): void }): Promise<{ listener: Server; heard: { bytes: number } }> {
  const heard = { bytes: 0 };
  const listener = createServer((client) => {
    const upstream = connect(server.port, server.host);
    client.on('error', () => {}).on('close', () => upstream.destroy());
    upstream.on('error', () => {}).on('close', () => client.destroy());
    client.once('data', (bytes) => {
      heard.bytes += bytes.length;
      const asksForTls = bytes.length === 8 && bytes.readUInt32BE(4) === 80877103;
      if (asksForTls) client.write('N');
      else upstream.write(bytes);
      client.on('data', (more) => {
        heard.bytes += more.length;
        upstream.write(more);
      });
    });
    upstream.pipe(client);
  });
  listener.listen(0);
  await once(listener, 'listening');
  t.after(() => listener.close());
  return { listener, heard };
}
