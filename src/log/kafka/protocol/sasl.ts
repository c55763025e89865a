import { createHash, createHmac, pbkdf2, randomBytes, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import { TailraceError } from '../../../runtime/errors.ts';
import type { Secret } from '../../../runtime/secret.ts';
import { saslAuthenticateApi, saslHandshakeApi, type SaslAnswer } from './cluster-apis.ts';
import type { Connection } from './connection.ts';

export interface Credentials {
  readonly mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512';
  readonly username: string;
  readonly password: Secret;
}

const derive = promisify(pbkdf2);

/** Logs in; returns after how many milliseconds the broker wants that again (0: never). Throws `log-refused`. */
export async function authenticate(connection: Connection, credentials: Credentials): Promise<number> {
  const mechanism = credentials.mechanism.toUpperCase();
  const handshake = await connection.call(saslHandshakeApi, mechanism);
  if (handshake.error !== 0) {
    throw new TailraceError('log-refused', `the Kafka broker at ${connection.address} does not know ${mechanism}; it knows ${handshake.mechanisms.join(', ') || 'no mechanism'}`, { remedy: 'Set log.sasl.mechanism to one of these.' });
  }
  return credentials.mechanism === 'plain' ? plain(connection, credentials) : scram(connection, credentials);
}

async function plain(connection: Connection, { username, password }: Credentials): Promise<number> {
  const answer = await step(connection, Buffer.from(`\0${username}\0${password.reveal()}`), username);
  return answer.lifetime;
}

/** RFC 5802, without channel binding. The broker proves that it knows the password too. */
async function scram(connection: Connection, { mechanism, username, password }: Credentials): Promise<number> {
  const hash = mechanism === 'scram-sha-256' ? 'sha256' : 'sha512';
  const nonce = randomBytes(18).toString('base64');
  const clientFirst = `n=${username.replaceAll('=', '=3D').replaceAll(',', '=2C')},r=${nonce}`;
  const first = await step(connection, Buffer.from(`n,,${clientFirst}`), username);
  const serverFirst = first.bytes.toString();
  const fields = fieldsOf(serverFirst);
  const iterations = Number(fields.get('i'));
  const serverNonce = fields.get('r') ?? '';
  if (!serverNonce.startsWith(nonce) || !(iterations >= 4096)) throw refused(connection, username, 'its answer is not one of SCRAM');
  const salted = await derive(password.reveal().normalize('NFKC'), Buffer.from(fields.get('s') ?? '', 'base64'), iterations, hash === 'sha256' ? 32 : 64, hash);
  const hmac = (key: Uint8Array, text: string): Buffer => createHmac(hash, key).update(text).digest();
  const clientKey = hmac(salted, 'Client Key');
  const clientLast = `c=${Buffer.from('n,,').toString('base64')},r=${serverNonce}`;
  const signed = `${clientFirst},${serverFirst},${clientLast}`;
  const signature = hmac(createHash(hash).update(clientKey).digest(), signed);
  const proof = Buffer.from(clientKey.map((byte, i) => byte ^ (signature[i] ?? 0))).toString('base64');
  const last = await step(connection, Buffer.from(`${clientLast},p=${proof}`), username);
  const expected = hmac(hmac(salted, 'Server Key'), signed);
  const found = Buffer.from(fieldsOf(last.bytes.toString()).get('v') ?? '', 'base64');
  if (found.length !== expected.length || !timingSafeEqual(found, expected)) throw refused(connection, username, 'it cannot prove that it knows the password');
  return last.lifetime;
}

async function step(connection: Connection, bytes: Uint8Array, username: string): Promise<SaslAnswer> {
  const answer = await connection.call(saslAuthenticateApi, bytes);
  if (answer.error !== 0) throw refused(connection, username, answer.message ?? `error ${answer.error}`);
  return answer;
}

function refused(connection: Connection, username: string, why: string): TailraceError {
  return new TailraceError('log-refused', `the Kafka broker at ${connection.address} refuses the login as ${username}: ${why}`);
}

function fieldsOf(message: string): ReadonlyMap<string, string> {
  return new Map(message.split(',').map((field) => [field.slice(0, 1), field.slice(2)]));
}
