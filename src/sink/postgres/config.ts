import { z } from 'zod';
import { checkConnection, connectionKeys } from '../../runtime/postgres/connection-config.ts';

const tableKey = z.string().regex(/^[^.]+\..+$/s, 'a source table as schema.table');
/** Postgres cuts longer names off, and two tables could become one. */
const name = z.string().min(1).refine((text) => Buffer.byteLength(text) <= 63 && !text.includes('\0'), 'at most 63 bytes');
const target = z
  .string()
  .min(1)
  .refine((text) => !text.includes('\0') && (text.includes('.') ? splitTarget(text) : [text]).every((part) => part !== '' && Buffer.byteLength(part) <= 63), 'a name or schema.name, each part at most 63 bytes');

function splitTarget(text: string): string[] {
  const dot = text.indexOf('.');
  return [text.slice(0, dot), text.slice(dot + 1)];
}

/** The Postgres sink's own keys; what every sink has (name, tables, on_error) is config/'s. */
export const postgresSinkConfig = z.strictObject({
  ...connectionKeys,
  schema: name.optional().describe("The replica's schema for all tables; without it each table goes to the schema that it has at the source."),
  rename: z.record(tableKey, target).optional().describe('Other names at the replica, by source table: public.orders: orders_copy, or schema.name.'),
  columns: z
    .record(tableKey, z.strictObject({ exclude: z.array(z.string().min(1)).min(1).describe('Columns that the replica does not get; none of the key.') }))
    .optional()
    .describe('Columns to leave out, by source table.'),
}).refine(...checkConnection);

export type PostgresSinkConfig = z.output<typeof postgresSinkConfig>;
