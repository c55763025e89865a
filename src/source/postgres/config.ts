import { z } from 'zod';
import { splitPattern } from '../../event/table-pattern.ts';
import { checkConnection, connectionKeys } from '../../runtime/postgres/connection-config.ts';

const pattern = z
  .string()
  .refine((text) => splitPattern(text) !== null, 'expected schema.table, where * stands for any characters and ? for one; other names go in double quotes')
  .describe('schema.table');

/** `pg_create_logical_replication_slot` takes no other names. */
const slotName = z.string().regex(/^[a-z0-9_]{1,63}$/, 'a slot has 1 to 63 lower-case letters, digits and _');
const publicationName = z.string().min(1).refine((name) => Buffer.byteLength(name) <= 63 && !name.includes('\0'), 'a name has at most 63 bytes');

/** In kB, as the server counts it, with its own bounds. */
const memoryUnits: Readonly<Record<string, number>> = { kB: 1, MB: 1024, GB: 1024 ** 2 };
function isMemory(text: string): boolean {
  const [, amount, unit] = /^(\d+)(kB|MB|GB)$/.exec(text) ?? [];
  const size = Number(amount) * (memoryUnits[unit ?? ''] ?? Number.NaN);
  return size >= 64 && size <= 2_147_483_647;
}

/** The keys of a source of type `postgres`, as they stand in the YAML. */
export const postgresSourceConfig = z
  .strictObject({
    ...connectionKeys,
    tables: z
      .strictObject({
        include: z.array(pattern).min(1).default(['public.*']).describe('Tables to capture.'),
        exclude: z.array(pattern).default([]).describe('Tables that are not captured although they are included.'),
      })
      .prefault({})
      .describe('Which tables are captured: schema.table, * for any run of characters, ? for one.'),
    snapshot: z
      .enum(['initial', 'never'])
      .default('initial')
      .describe('Whether the rows that are already there arrive too, or only changes from now on.'),
    messages: z
      .array(z.string().min(1))
      .default([])
      .describe('Logical messages to keep, by prefix, with * for any run of characters and ? for one: what pg_logical_emit_message(true, …) wrote goes to the topic <pipeline>.message.'),
    origin: z
      .enum(['any', 'none'])
      .default('any')
      .describe('none leaves out what reached the source by replication itself, a native subscription for instance (PostgreSQL 16 and later).'),
    slot: slotName.optional().describe('An existing replication slot. Without it Tailrace makes its own, tailrace_<pipeline>.'),
    publication: publicationName.optional().describe('An existing publication, used as it is. Without it Tailrace makes its own, tailrace_<pipeline>.'),
    logical_decoding_work_mem: z
      .string()
      .refine(isMemory, 'expected an amount of memory as Postgres writes it, 64kB or more: 512MB')
      .optional()
      .describe('How much of transactions that are not over the server keeps in memory while it decodes for this slot, before it writes them to its disk and reads them back: 512MB. Without it, what the server has set for all (64MB unless changed). Where a large transaction fits, it costs the source less.'),
  })
  .refine(...checkConnection);

export type PostgresSourceConfig = Readonly<z.output<typeof postgresSourceConfig>>;
