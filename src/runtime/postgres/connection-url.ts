import { Secret } from '../secret.ts';

/** libpq's six modes, with libpq's meaning (the PostgreSQL manual, "SSL Support", table "SSL Mode Descriptions"). */
export const TLS_MODES = ['disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full'] as const;
export type TlsMode = (typeof TLS_MODES)[number];

export interface TlsSettings {
  readonly mode: TlsMode;
  /** Path of a PEM file, `system` for the machine's own authorities, null for those that come with Node. */
  readonly rootCert: string | null;
  /** Paths of the client's certificate and its key, in PEM. */
  readonly cert: string | null;
  readonly key: string | null;
  readonly keyPassword: Secret | null;
  /** `direct` starts TLS without asking first (PostgreSQL 17 and later). */
  readonly negotiation: 'postgres' | 'direct';
}

/** Where a server is and who asks: a connection URL, taken apart. */
export interface ConnectionTarget {
  /** A name, an address, or the directory of a Unix socket (it begins with `/`). */
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: Secret | null;
  readonly database: string;
  readonly tls: TlsSettings;
}

/** What may stand beside the URL in a configuration; it must not stand in both. */
export interface TlsKeys {
  readonly sslmode?: string | undefined;
  readonly sslrootcert?: string | undefined;
  readonly sslcert?: string | undefined;
  readonly sslkey?: string | undefined;
}

export type ParsedUrl = { readonly target: ConnectionTarget; readonly problem?: undefined } | { readonly problem: string };

const parameters = ['host', 'port', 'sslmode', 'sslrootcert', 'sslcert', 'sslkey', 'sslpassword', 'sslnegotiation'];
const encodeHint = 'percent-encode @ : / ? # and % in the user and the password (%40 %3A %2F %3F %23 %25)';

/** Strict: what is not understood is a problem. Problems never repeat a part of the text that may be a password. */
export function parseConnectionUrl(text: string, keys: TlsKeys = {}): ParsedUrl {
  const parts = /^postgres(?:ql)?:\/\/(?:(?<userinfo>[^/?#]*)@)?(?<address>[^/?#@]*)(?:\/(?<path>[^?#]*))?(?:\?(?<query>[^#]*))?$/.exec(text)?.groups;
  if (parts === undefined) return { problem: `not a connection URL: expected postgres://user:password@host:port/database; ${encodeHint}` };
  try {
    const query = readQuery(parts['query'] ?? '', keys);
    const [user = '', ...password] = (parts['userinfo'] ?? '').split(':');
    const { host, port } = readAddress(parts['address'] ?? '', query);
    const database = decode(parts['path'] ?? '', 'database');
    if (user === '') return { problem: 'names no user: expected postgres://user:password@host:port/database' };
    if (host === '') return { problem: 'names no host: expected postgres://user:password@host:port/database (a Unix socket: ?host=/var/run/postgresql)' };
    if (database === '') return { problem: 'names no database: expected postgres://user:password@host:port/database' };
    const secret = password.length === 0 ? null : new Secret(decode(password.join(':'), 'password'));
    return { target: { host, port, user: decode(user, 'user'), password: secret, database, tls: readTls(query, host) } };
  } catch (error) {
    if (error instanceof Problem) return { problem: error.message };
    throw error;
  }
}

/** `host:port/database`: for messages. */
export function describeTarget(target: ConnectionTarget): string {
  return `${target.host.includes(':') ? `[${target.host}]` : target.host}:${target.port}/${target.database}`;
}

/** Whether what is said there stays on this machine. */
export function isLocal(host: string): boolean {
  return host.startsWith('/') || host === 'localhost' || host === '::1' || /^127\.\d+\.\d+\.\d+$/.test(host);
}

/** Never leaves this file. */
class Problem extends Error {}

function decode(text: string, what: string): string {
  let decoded: string;
  try {
    decoded = decodeURIComponent(text);
  } catch {
    throw new Problem(`the ${what} holds a % that begins no percent-encoded character; ${encodeHint}`);
  }
  if (decoded.includes('\0')) throw new Problem(`the ${what} holds a NUL character`);
  return decoded;
}

function readQuery(raw: string, keys: TlsKeys): Map<string, string> {
  const query = new Map<string, string>();
  // An unencoded ? in a password puts the rest of it here: the @ behind it gives that away, before a name is repeated.
  if (raw.includes('@')) throw new Problem(`has an @ behind a ?; ${encodeHint}`);
  for (const pair of raw.split('&')) {
    if (pair === '') continue;
    const [name = '', ...value] = pair.split('=');
    if (!parameters.includes(name)) {
      const shown = /^[a-z_]{1,40}$/.test(name) ? `the parameter ${name}` : 'a parameter';
      throw new Problem(`has ${shown} that is not known here; known are ${parameters.join(', ')}`);
    }
    if (query.has(name)) throw new Problem(`has the parameter ${name} twice`);
    query.set(name, decode(value.join('='), `parameter ${name}`));
  }
  for (const [name, value] of Object.entries(keys) as [string, string | undefined][]) {
    if (value === undefined) continue;
    if (query.has(name)) throw new Problem(`has ${name}, which also stands beside it: keep one of the two`);
    query.set(name, value);
  }
  return query;
}

function readAddress(address: string, query: ReadonlyMap<string, string>): { host: string; port: number } {
  const match = /^(?:\[(?<v6>[0-9A-Fa-f:.%]+)\]|(?<name>[^:[\]]*))(?::(?<port>\d{0,5}))?$/.exec(address)?.groups;
  if (match === undefined) throw new Problem(`the host and port cannot be read: expected host, host:port or [IPv6]:port; ${encodeHint}`);
  const inAddress = match['v6'] ?? decode(match['name'] ?? '', 'host');
  const host = inAddress === '' ? (query.get('host') ?? '') : inAddress;
  if (inAddress !== '' && query.has('host')) throw new Problem('names a host before the / and another by ?host=: keep one of the two');
  if (host.includes(',')) throw new Problem('names several hosts: give the one that accepts writes');
  const text = match['port'] === undefined || match['port'] === '' ? (query.get('port') ?? '5432') : match['port'];
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (port < 1 || port > 65_535) throw new Problem('the port is a number from 1 to 65535');
  return { host, port };
}

function readTls(query: ReadonlyMap<string, string>, host: string): TlsSettings {
  const asked = query.get('sslmode');
  const rootCert = query.get('sslrootcert') ?? null;
  const mode = TLS_MODES.find((known) => known === asked) ?? (isLocal(host) ? 'prefer' : 'verify-full');
  if (asked !== undefined && asked !== mode) throw new Problem(`sslmode is one of ${TLS_MODES.join(', ')}`);
  // Without an authority of one's own, every public one's certificate for any name would do.
  if (mode === 'verify-ca' && (rootCert === null || rootCert === 'system')) {
    throw new Problem('sslmode verify-ca needs sslrootcert, the file of the authority to trust; or use verify-full');
  }
  const negotiation = query.get('sslnegotiation') ?? 'postgres';
  if (negotiation !== 'postgres' && negotiation !== 'direct') throw new Problem('sslnegotiation is postgres or direct');
  if (negotiation === 'direct' && !['require', 'verify-ca', 'verify-full'].includes(mode)) {
    throw new Problem('sslnegotiation direct needs sslmode require, verify-ca or verify-full');
  }
  const cert = query.get('sslcert') ?? null;
  const key = query.get('sslkey') ?? null;
  if ((cert === null) !== (key === null)) throw new Problem('sslcert and sslkey belong together: give both');
  const keyPassword = query.get('sslpassword');
  // libpq: require with a root certificate checks the chain, as verify-ca does.
  const effective = mode === 'require' && rootCert !== null ? (rootCert === 'system' ? 'verify-full' : 'verify-ca') : mode;
  return { mode: effective, rootCert, cert, key, keyPassword: keyPassword === undefined ? null : new Secret(keyPassword), negotiation };
}
