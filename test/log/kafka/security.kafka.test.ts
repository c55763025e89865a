import assert from 'node:assert/strict';
import { spawnSync, type SpawnSyncReturns } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { kafkaLogConfig } from '../../../src/log/kafka/config.ts';
import { createKafkaLog } from '../../../src/log/kafka/index.ts';
import type { Log } from '../../../src/log/log.ts';
import { silentLogger } from '../../../src/runtime/logger.ts';
import { batchOf, record, valuesOf } from '../../contract/log-samples.ts';
import { hasOpenssl, makeAuthority, makeCertificate, text } from '../../support/certificates.ts';
import { kafkaJars } from '../../support/kafka-jars.ts';
import { startKafka } from '../../support/kafka.ts';
import { tempDirectory } from '../../support/temp.ts';
import { eventually } from '../../support/wait.ts';

const admin = { mechanism: 'plain', username: 'admin', password: 'admin-secret' };
/** What a name may hold that SCRAM takes for something else, and a password that is not ASCII. */
const scramUser = { username: 'tail,race=1', password: 'pässword $%' };

test('a broker that wants TLS and a login: PLAIN and both SCRAMs get in, and what is wrong is said', { skip: hasOpenssl ? false : 'platform: openssl is not installed' }, async (t) => {
  const directory = await tempDirectory(t);
  const authority = makeAuthority(directory, 'authority');
  const server = await makeCertificate(directory, authority, { name: 'broker', alternativeNames: 'IP:127.0.0.1' });
  const jaas = (module: string, options = ''): string => `org.apache.kafka.common.security.${module} required${options};`;
  const cluster = await startKafka(t, {
    protocol: 'SASL_SSL',
    settings: {
      'sasl.enabled.mechanisms': 'PLAIN,SCRAM-SHA-256,SCRAM-SHA-512',
      'sasl.mechanism.inter.broker.protocol': 'PLAIN',
      'listener.name.sasl_ssl.plain.sasl.jaas.config': jaas('plain.PlainLoginModule', ` username="admin" password="${admin.password}" user_admin="${admin.password}"`),
      'listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config': jaas('scram.ScramLoginModule'),
      'listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config': jaas('scram.ScramLoginModule'),
      'ssl.keystore.type': 'PEM',
      'ssl.keystore.certificate.chain': inOneLine(text(server.cert)),
      'ssl.keystore.key': inOneLine(text(server.key)),
      'ssl.truststore.type': 'PEM',
      'ssl.truststore.certificates': inOneLine(text(authority.cert)),
    },
  });
  const [address] = cluster?.addresses ?? [];
  if (address === undefined) return;
  const log = (sasl: object | undefined, tls: object | undefined = { ca: authority.cert }): Log =>
    createKafkaLog(kafkaLogConfig.parse({ brokers: [address], ...(sasl === undefined ? {} : { sasl }), ...(tls === undefined ? {} : { tls }) }), { pipeline: 'shop', logger: silentLogger });
  await addScramUser(directory, address, authority.cert);

  for (const [n, mechanism] of ['plain', 'scram-sha-256', 'scram-sha-512'].entries()) {
    // The broker hears of a user a moment after the tool was told that there is one.
    const writer = await eventually(() => log({ ...(mechanism === 'plain' ? admin : scramUser), mechanism }).openWriter(), { what: `a login by ${mechanism}` });
    await writer.createTopic({ topic: 'shop.t', partitions: 1 });
    await writer.append([batchOf(writer, ['shop.t', 0], [record(`${n}`)])]);
    await writer.close();
  }
  const reader = await log(admin).openReader();
  assert.deepEqual(await valuesOf(reader, ['shop.t', 0]), ['0', '1', '2']);
  await reader.close();

  const refused = async (of: Log, why: RegExp): Promise<void> => assert.rejects(of.openWriter(), (error: { code: string; message: string }) => {
    assert.equal(error.code, 'log-refused');
    assert.match(error.message, why);
    assert.doesNotMatch(error.message, /secret|pässword/);
    return true;
  });
  await refused(log({ ...admin, password: 'not-the-secret' }), /refuses the login as admin/);
  await refused(log({ ...scramUser, mechanism: 'scram-sha-512', password: 'wrong' }), /refuses the login as tail,race=1/);
  await refused(log(admin, {}), /certificate .* is not accepted/);
});

/** By Kafka's own tool: the password's salted form is made by others than us. */
async function addScramUser(directory: string, address: string, ca: string): Promise<void> {
  const jars = kafkaJars();
  if (jars.missing !== undefined) throw new Error(jars.missing);
  const properties = join(directory, 'admin.properties');
  await writeFile(properties, [
    'security.protocol=SASL_SSL', 'sasl.mechanism=PLAIN', 'ssl.truststore.type=PEM', `ssl.truststore.certificates=${inOneLine(text(ca))}`,
    `sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required username="admin" password="${admin.password}";`, '',
  ].join('\n'));
  const mechanisms = ['SCRAM-SHA-256', 'SCRAM-SHA-512'].map((mechanism) => `${mechanism}=[password=${scramUser.password}]`);
  const args = ['--bootstrap-server', address, '--command-config', properties, '--alter', '--entity-type', 'users', '--entity-name', scramUser.username];
  for (const config of mechanisms) {
    const command = ['-Dfile.encoding=UTF-8', '-cp', join(jars.libs, '*'), 'kafka.admin.ConfigCommand', ...args, '--add-config', config];
    // Java reads what it is told in the locale's encoding, and without one the password would be another.
    const done: SpawnSyncReturns<string> = spawnSync('java', command, { encoding: 'utf8', env: { ...process.env, LC_ALL: 'C.UTF-8' } });
    assert.equal(done.status, 0, done.stderr);
  }
}

/** PEM as a value of a properties file. */
function inOneLine(pem: string): string {
  return pem.trim().replaceAll('\n', '\\n');
}
