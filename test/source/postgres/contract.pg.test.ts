import pg from 'pg';
import { lsn } from '../../../src/event/lsn.ts';
import { sourceContract } from '../../contract/source.ts';
import { freshDatabase } from '../../support/postgres.ts';
import { sourceOn } from './support.ts';

sourceContract('postgres', async (t) => {
  const database = await freshDatabase(t);
  await database.sql('CREATE TABLE items (id int PRIMARY KEY, v text)');
  await database.sql('CREATE TABLE plain (v text); ALTER TABLE plain REPLICA IDENTITY FULL');
  const insert = 'INSERT INTO items VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET v = excluded.v';
  return {
    source: sourceOn(database.url),
    write: async (rows) => {
      const client = new pg.Client(database.url);
      await client.connect();
      await client.query('BEGIN');
      for (const [id, value] of rows) {
        if (value === null) await client.query('DELETE FROM items WHERE id = $1', [id]);
        else await client.query(insert, [id, value]);
      }
      await client.query('COMMIT');
      await client.end();
    },
    writePlain: async (values) => void (await database.sql('INSERT INTO plain SELECT unnest($1::text[])', [values])),
    writeAdjacent: async (first, second) => {
      const clients = [new pg.Client(database.url), new pg.Client(database.url)];
      for (const [i, client] of clients.entries()) {
        await client.connect();
        await client.query('BEGIN');
        await client.query(insert, [[first, second][i], 'adjacent']);
      }
      for (const client of clients) await client.query('COMMIT');
      for (const client of clients) await client.end();
    },
    confirmed: async () => {
      const [row] = await database.sql<{ at: string }>('SELECT confirmed_flush_lsn::text AS at FROM pg_replication_slots WHERE database = current_database()');
      return lsn(row?.at ?? '');
    },
    alter: async () => void (await database.sql('ALTER TABLE items ADD COLUMN added int')),
  };
});
