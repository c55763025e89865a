import type { ConnectionTarget } from './connection-url.ts';
import { PgConnection } from './connection.ts';
import { sqlstateOf } from './sqlstate.ts';

/**
 * A session for scans of whole tables that changes nothing by accident, waits for nobody's lock for long, and whose query ends
 * when we do: without being told, a server goes on with a scan for somebody who has left. Throws what the driver threw.
 */
export async function openReadOnlySession(target: ConnectionTarget, applicationName: string): Promise<PgConnection> {
  const connection = await PgConnection.open(target, { applicationName, settings: { default_transaction_read_only: 'on', lock_timeout: '30s' } });
  try {
    await connection.query("SELECT set_config('client_connection_check_interval', '5s', false)");
  } catch (error) {
    // Not every platform of a server can look whether its client is there.
    if (sqlstateOf(error)?.startsWith('22') !== true) {
      await connection.close();
      throw error;
    }
  }
  return connection;
}
