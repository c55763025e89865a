import type { Socket } from 'node:net';
import type pg from 'pg';
import { LogicalReplicationService } from 'pg-logical-replication';
import { asConnectionError, connectPostgres, type ConnectOptions } from '../../runtime/postgres/client.ts';
import type { ConnectionTarget } from '../../runtime/postgres/connection-url.ts';

/** A connection in replication mode that speaks SQL-like commands until its socket is taken. */
export interface ReplicationConnection {
  query(command: string): Promise<Record<string, unknown>[]>;
  /** The socket, with nobody reading it any more: from here on the messages are ours to read. */
  takeSocket(): Socket;
  /** Lets the library forget the connection; the socket is gone by then. */
  dispose(): Promise<void>;
}

/**
 * The library makes the connection and hands it to its plugin's `start`, which is where ours takes it away: the library would
 * make objects and strings of every row, and its acknowledgements go one byte too far (DESIGN, Facts measured).
 */
export async function openReplication(target: ConnectionTarget, options: ConnectOptions): Promise<ReplicationConnection> {
  const [service, client] = await connectPostgres(target, options, (config) => {
    const made = new LogicalReplicationService(config, { acknowledge: { auto: false, timeoutSeconds: 0 } });
    // What happens to the connection is heard from its socket. The library listens to its client a moment after the login, and an error that
    // comes in the same breath as the login would end the process.
    made.on('error', () => {});
    (config.stream as () => Socket)().once('connect', () => (made as unknown as { readonly _client: pg.Client | null })._client?.on('error', () => {}));
    return new Promise<[LogicalReplicationService, pg.Client]>((resolve, reject) => {
      const start = async (connected: pg.Client): Promise<void> => resolve([made, connected]);
      made.subscribe({ name: 'pgoutput', options: {}, start, parse: () => null }, '').catch(reject);
    });
  });
  const socket = (): Socket => (client as unknown as { readonly connection: { readonly stream: Socket } }).connection.stream;
  return {
    query: async (command) => {
      try {
        return (await client.query<Record<string, unknown>>(command)).rows;
      } catch (error) {
        throw asConnectionError(error);
      }
    },
    takeSocket: () => {
      const taken = socket();
      taken.pause();
      taken.removeAllListeners('data');
      return taken;
    },
    dispose: async () => {
      socket().destroy();
      await service.destroy().catch(() => undefined);
    },
  };
}
