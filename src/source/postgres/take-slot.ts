import { lsn, type Lsn } from '../../event/lsn.ts';
import type { ConnectOptions } from '../../runtime/postgres/client.ts';
import type { ConnectionTarget } from '../../runtime/postgres/connection-url.ts';
import { quoteIdentifier, quotePublicationNames } from '../../runtime/postgres/quote.ts';
import { openReplication, type ReplicationConnection } from './open-replication.ts';
import { ReplicationStream, type ReplicationStreamOptions } from './replication-stream.ts';

export interface TakenSlot {
  readonly stream: ReplicationStream;
  readonly systemIdentifier: string;
  readonly timeline: number;
  readonly timelineSwitch: Lsn | undefined;
  dispose(): Promise<void>;
}

/** Opens the replication connection, asks who the server is, and takes the slot. Throws what the server answered. */
export async function takeSlot(
  target: ConnectionTarget,
  connect: ConnectOptions,
  options: ReplicationStreamOptions & { readonly slot: string; readonly publication: string; readonly origin: 'any' | 'none' },
): Promise<TakenSlot> {
  const connection = await openReplication(target, connect);
  const giveUp = (): unknown => connection.dispose();
  connect.signal?.addEventListener('abort', giveUp, { once: true });
  try {
    const identity = await identify(connection);
    const stream = new ReplicationStream(connection.takeSocket(), options);
    await stream.start(startCommand(options));
    return { ...identity, stream, dispose: () => connection.dispose() };
  } catch (error) {
    await connection.dispose();
    throw error;
  } finally {
    connect.signal?.removeEventListener('abort', giveUp);
  }
}

/**
 * From 0/0: the server then starts where the slot stands. `messages` brings the watermarks. `streaming` and `two_phase` stay
 * off, so that the commit LSN is known at BEGIN (PROTOCOL, Identity).
 */
function startCommand({ slot, publication, origin }: { readonly slot: string; readonly publication: string; readonly origin: 'any' | 'none' }): string {
  const names = quotePublicationNames([publication]);
  // A server before PostgreSQL 16 does not know the option, and sends whatever it has.
  const only = origin === 'none' ? ", origin 'none'" : '';
  return `START_REPLICATION SLOT ${quoteIdentifier(slot)} LOGICAL 0/0 (proto_version '1', publication_names ${names}, messages 'true'${only})`;
}

async function identify(connection: ReplicationConnection): Promise<Pick<TakenSlot, 'systemIdentifier' | 'timeline' | 'timelineSwitch'>> {
  const [row] = await connection.query('IDENTIFY_SYSTEM');
  const timeline = Number(row?.['timeline']);
  return { systemIdentifier: String(row?.['systemid']), timeline, timelineSwitch: await switchOf(connection, timeline) };
}

/** Where the timeline branched off: the last line of its history file, `parent <tab> LSN <tab> reason`. */
async function switchOf(connection: ReplicationConnection, timeline: number): Promise<Lsn | undefined> {
  if (timeline <= 1) return undefined;
  const [row] = await connection.query(`TIMELINE_HISTORY ${timeline}`).catch(() => []);
  const content = row?.['content'];
  const text = Buffer.isBuffer(content) ? content.toString('utf8') : typeof content === 'string' ? content : '';
  const last = [...text.matchAll(/^\s*\d+\s+([0-9A-F]+\/[0-9A-F]+)/gm)].at(-1);
  return last?.[1] === undefined ? undefined : lsn(last[1]);
}
