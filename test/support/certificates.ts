import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Whether certificates can be made here: Node makes keys, but no certificates. */
export const hasOpenssl = spawnSync('openssl', ['version']).status === 0;

export interface Certificate {
  /** Paths of PEM files. */
  readonly cert: string;
  readonly key: string;
}

function openssl(...args: readonly string[]): void {
  const { status, stderr } = spawnSync('openssl', args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`openssl ${args[0]}: ${stderr}`);
}

/** An authority of our own. */
export function makeAuthority(directory: string, name: string): Certificate {
  const files = { cert: join(directory, `${name}.crt`), key: join(directory, `${name}.key`) };
  openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-subj', `/CN=${name}`, '-keyout', files.key, '-out', files.cert);
  return files;
}

export interface CertificateOptions {
  readonly name: string;
  /** `DNS:localhost`, `IP:127.0.0.1` */
  readonly alternativeNames?: string;
  /** Encrypts the key. */
  readonly password?: string;
}

/** A certificate that the authority has signed. */
export async function makeCertificate(directory: string, authority: Certificate, options: CertificateOptions): Promise<Certificate> {
  const base = join(directory, options.name.replaceAll(/\W/g, '_'));
  const files = { cert: `${base}.crt`, key: `${base}.key` };
  const protection = options.password === undefined ? ['-nodes'] : ['-passout', `pass:${options.password}`];
  openssl('req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', ...protection, '-subj', `/CN=${options.name}`, '-keyout', files.key, '-out', `${base}.csr`);
  await writeFile(`${base}.ext`, options.alternativeNames === undefined ? '' : `subjectAltName=${options.alternativeNames}\n`);
  openssl('x509', '-req', '-in', `${base}.csr`, '-CA', authority.cert, '-CAkey', authority.key, '-CAcreateserial', '-days', '2', '-extfile', `${base}.ext`, '-out', files.cert);
  return files;
}

export function text(path: string): string {
  return readFileSync(path, 'utf8');
}
