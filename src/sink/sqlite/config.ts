import { z } from 'zod';
import { parseTimer } from '../../runtime/units.ts';

const name = z.string().min(1);
const tableKey = z.string().regex(/^[^.]+\..+$/s, 'a source table as schema.table');
const duration = z.string().transform((text, context) => {
  const parsed = parseTimer(text);
  if (parsed.problem === undefined) return parsed.value;
  context.addIssue({ code: 'custom', message: parsed.problem });
  return z.NEVER;
});

export const sqliteSinkConfig = z.strictObject({
  path: z.string().min(1).describe('The SQLite file; made, with its folder, where it is missing. Other processes may read it at any time.'),
  rename: z.record(tableKey, name).default({}).describe('Other names at the replica, by source table. Without one: the name in schema public, schema.name elsewhere.'),
  columns: z
    .record(tableKey, z.strictObject({ exclude: z.array(name).min(1).describe('Columns that the replica does not get; none of the key.') }))
    .default({})
    .describe('Columns to leave out, by source table.'),
  busy_timeout: duration.prefault('5s').meta({ examples: ['5s'] }).describe('How long the sink waits for another writer of the file before it says so and tries again.'),
});

export type SqliteSinkConfig = z.output<typeof sqliteSinkConfig>;
