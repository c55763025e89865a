import { Socket } from 'node:net';
import type pg from 'pg';
import { describeTarget, isLocal, type ConnectionTarget } from './connection-url.ts';
import { pinnedSettings, startupOptions } from './session-settings.ts';
import { isTlsFailure, sqlstateOf, type OwnCode } from './sqlstate.ts';
import { tlsAttempts, type TlsAttempt } from './tls.ts';

export interface ConnectOptions {
  /** `pg_stat_activity.application_name`: who we are, to the people of that server. */
  readonly applicationName: string;
  /** Laid over the pinned settings. */
  readonly settings?: Readonly<Record<string, string>> | undefined;
  readonly signal?: AbortSignal | undefined;
  /** From the first packet until the session is as it is wanted; 10 s unless told. */
  readonly timeoutMs?: number | undefined;
}

/**
 * Makes a connection by `open`, which is handed pg's configuration: once, or once with TLS and once without, as libpq does for
 * `prefer` and `allow`. Every connection of Tailrace to a Postgres comes from here, the replication one too, so that all have
 * the same TLS, settings and limits. Throws what the driver threw; `failureKind` tells the kinds apart.
 */
export async function connectPostgres<T>(
  target: ConnectionTarget,
  options: ConnectOptions,
  open: (config: pg.ClientConfig) => Promise<T>,
): Promise<T> {
  const [first, second] = await tlsAttempts(target);
  try {
    return await attempt(target, { ...options, ssl: first ?? false, open });
  } catch (error) {
    // 28000 is how a pg_hba.conf with hostssl or hostnossl lines says no. A wrong password is not tried twice.
    if (second === undefined || !(isTlsFailure(error) || sqlstateOf(error) === '28000')) throw error;
    return attempt(target, { ...options, ssl: second, open });
  }
}

interface Attempt<T> extends ConnectOptions {
  readonly ssl: TlsAttempt;
  readonly open: (config: pg.ClientConfig) => Promise<T>;
}

async function attempt<T>(target: ConnectionTarget, { ssl, open, ...options }: Attempt<T>): Promise<T> {
  options.signal?.throwIfAborted();
  const socket = new Socket();
  // pg names neither of these two by a code, so the first bytes are looked at here.
  let refusesTls = false;
  let wantsCleartext = false;
  socket.once('data', (bytes: Buffer) => {
    if (ssl !== false && target.tls.negotiation === 'postgres') refusesTls = bytes[0] === 0x4e;
    else wantsCleartext = bytes[0] === 0x52 && bytes.length === 9 && bytes[8] === 3;
  });
  const password = (): string => {
    if (target.password === null) throw codedError('NO_PASSWORD', 'the server asks for a password and the URL has none');
    if (wantsCleartext && !isLocal(target.host)) {
      throw codedError('CLEARTEXT_PASSWORD', 'the server asks for the password in clear text over a connection without TLS');
    }
    return target.password.reveal();
  };
  const timeoutMs = options.timeoutMs ?? 10_000;
  const timer = setTimeout(() => socket.destroy(codedError('ETIMEDOUT', `no answer within ${timeoutMs} ms`)), timeoutMs);
  const abort = (): unknown => socket.destroy(codedError('ECONNABORTED', 'given up'));
  options.signal?.addEventListener('abort', abort, { once: true });
  try {
    return await open(clientConfig(target, { ...options, ssl, socket, password }));
  } catch (error) {
    // Before the socket goes: whether it had gone by itself says what kind of error a nameless one is.
    const lost = socket.destroyed;
    socket.destroy();
    options.signal?.throwIfAborted();
    if (refusesTls) throw codedError('NO_TLS', `the server ${describeTarget(target)} does not offer TLS`, error);
    throw lost ? asConnectionError(error) : error;
  } finally {
    clearTimeout(timer);
    options.signal?.removeEventListener('abort', abort);
  }
}

interface ClientParts extends ConnectOptions {
  readonly ssl: TlsAttempt;
  readonly socket: Socket;
  readonly password: () => string;
}

/** Everything that pg would else look up in the environment is given. */
function clientConfig(target: ConnectionTarget, { applicationName, settings, ssl, socket, password }: ClientParts): pg.ClientConfig {
  return {
    host: target.host,
    port: target.port,
    user: target.user,
    database: target.database,
    password,
    ssl,
    sslnegotiation: ssl === false ? 'postgres' : target.tls.negotiation,
    application_name: applicationName,
    options: startupOptions({ ...pinnedSettings, ...settings }),
    keepAlive: true,
    keepAliveInitialDelayMillis: 30_000,
    stream: () => socket,
  };
}

/** An error with the code that `failureKind` knows it by. */
export function codedError(code: OwnCode | 'ECONNRESET' | 'ECONNABORTED' | 'ETIMEDOUT', message: string, cause?: unknown): Error {
  return Object.assign(new Error(message, cause === undefined ? undefined : { cause }), { code });
}

/** pg reports the end of a connection without any code ("Connection terminated unexpectedly"). */
export function asConnectionError(error: unknown): unknown {
  const hasCode = error instanceof Error && typeof (error as { code?: unknown }).code === 'string';
  return hasCode || error instanceof AggregateError ? error : codedError('ECONNRESET', 'the connection was lost', error);
}
