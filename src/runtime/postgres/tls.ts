import { readFile } from 'node:fs/promises';
import { getCACertificates, type ConnectionOptions } from 'node:tls';
import { TailraceError } from '../errors.ts';
import type { ConnectionTarget, TlsSettings } from './connection-url.ts';

/** What pg takes as `ssl`: false for none. Built here and nowhere else, because pg's own reading of `sslmode` is not libpq's. */
export type TlsAttempt = false | ConnectionOptions;

/**
 * How to try, in order: `prefer` is TLS and then without, `allow` the other way round. Files are read at each call, so that a
 * certificate that was renewed is taken up by the next connection.
 */
export async function tlsAttempts(target: ConnectionTarget): Promise<readonly TlsAttempt[]> {
  // libpq does not speak TLS over a Unix socket either.
  if (target.host.startsWith('/')) return [false];
  const { mode } = target.tls;
  if (mode === 'disable') return [false];
  const own = await clientCertificate(target.tls);
  const unverified: TlsAttempt = { ...own, rejectUnauthorized: false };
  switch (mode) {
    case 'allow':
      return [false, unverified];
    case 'prefer':
      return [unverified, false];
    case 'require':
      return [unverified];
    case 'verify-ca':
      // The chain is checked, the name is not.
      return [{ ...own, ...(await authorities(target.tls)), rejectUnauthorized: true, checkServerIdentity: () => undefined }];
    case 'verify-full':
      // pg hands the host over, which Node compares with the certificate, names and addresses alike.
      return [{ ...own, ...(await authorities(target.tls)), rejectUnauthorized: true }];
  }
}

async function authorities({ rootCert }: TlsSettings): Promise<ConnectionOptions> {
  if (rootCert === null) return {};
  if (rootCert === 'system') return { ca: getCACertificates('system') };
  return { ca: await pem(rootCert, 'sslrootcert') };
}

async function clientCertificate({ cert, key, keyPassword }: TlsSettings): Promise<ConnectionOptions> {
  if (cert === null || key === null) return {};
  const passphrase = keyPassword === null ? {} : { passphrase: keyPassword.reveal() };
  return { cert: await pem(cert, 'sslcert'), key: await pem(key, 'sslkey'), ...passphrase };
}

async function pem(path: string, name: string): Promise<string> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code ?? 'unreadable';
    throw new TailraceError('config-invalid', `${name}: the file ${path} cannot be read (${reason})`, { cause: error });
  }
  if (!text.includes('-----BEGIN ')) throw new TailraceError('config-invalid', `${name}: the file ${path} is not in PEM format`);
  return text;
}
