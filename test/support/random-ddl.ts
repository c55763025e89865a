import pg from 'pg';
import { pick, randomStatement, type RandomTable } from './random-tables.ts';

/** Also: keys under a name that the table had before, and what an update needs an identity for. */
const refusalsOfDdl = /^(23|22|54|40|42P16|42704|42701|55000)/;

interface Altered {
  readonly sql: string;
  readonly table: RandomTable;
}

/** A change of the table's shape, drawn at random, and what the table is then. */
function randomDdl(random: () => number, table: RandomTable, fresh: string): Altered {
  const { name, columns, key } = table;
  const others = columns.filter((column) => !key.includes(column.name));
  const [one, two] = [pick(random, columns), pick(random, columns)];
  const renamed = (from: string, to: string): Pick<RandomTable, 'columns' | 'key'> => ({
    columns: columns.map((column) => (column.name === from ? { ...column, name: to } : column)),
    key: key.map((column) => (column === from ? to : column)),
  });
  const texts = { type: 'text', values: ['', 'a', 'é🙂', '\\N', 'NULL'] };
  const changes: readonly (() => Altered)[] = [
    () => ({ sql: `ALTER TABLE ${name} ADD COLUMN ${fresh} text`, table: { ...table, columns: [...columns, { name: fresh, ...texts }] } }),
    () => ({ sql: `ALTER TABLE ${name} ADD COLUMN ${fresh} text DEFAULT 'constant' NOT NULL`, table: { ...table, columns: [...columns, { name: fresh, ...texts }] } }),
    () => ({ sql: `ALTER TABLE ${name} ADD COLUMN ${fresh} text DEFAULT md5(random()::text)`, table: { ...table, columns: [...columns, { name: fresh, ...texts }] } }),
    () => ({ sql: `ALTER TABLE ${name} RENAME COLUMN ${one.name} TO ${fresh}`, table: { ...table, ...renamed(one.name, fresh) } }),
    () => ({ sql: `ALTER TABLE ${name} RENAME TO ${fresh}`, table: { ...table, name: fresh } }),
    () => ({ sql: `ALTER TABLE ${name} ALTER COLUMN ${one.name} TYPE text`, table: { ...table, columns: columns.map((column) => (column === one ? { ...column, ...texts } : column)) } }),
    () => ({ sql: `ALTER TABLE ${name} ALTER COLUMN ${one.name} TYPE text USING md5(${one.name}::text)`, table: { ...table, columns: columns.map((column) => (column === one ? { ...column, ...texts } : column)) } }),
    () => ({ sql: `ALTER TABLE ${name} REPLICA IDENTITY ${key.length === 0 || random() < 0.5 ? 'FULL' : 'DEFAULT'}`, table }),
    () => ({ sql: `TRUNCATE ${name}`, table }),
    () => ({ sql: `DROP TABLE ${name}; CREATE TABLE ${name} (${fresh} text PRIMARY KEY, v text)`, table: { name, key: [fresh], columns: [{ name: fresh, ...texts }, { name: 'v', ...texts }] } }),
    ...(others.length < 2 ? [] : [() => ({ sql: `ALTER TABLE ${name} DROP COLUMN ${others[0]?.name}`, table: { ...table, columns: columns.filter((column) => column !== others[0]) } })]),
    ...(one === two ? [] : [() => ({
      sql: `ALTER TABLE ${name} RENAME COLUMN ${one.name} TO swapping; ALTER TABLE ${name} RENAME COLUMN ${two.name} TO ${one.name}; ALTER TABLE ${name} RENAME COLUMN swapping TO ${two.name}`,
      table: { ...table, columns: columns.map((column) => (column === one ? { ...column, name: two.name } : column === two ? { ...column, name: one.name } : column)), key: key.map((column) => (column === one.name ? two.name : column === two.name ? one.name : column)) },
    })]),
    ...(key.length === 0
      ? [() => ({ sql: `ALTER TABLE ${name} ADD PRIMARY KEY (${one.name}); ALTER TABLE ${name} REPLICA IDENTITY DEFAULT`, table: { ...table, key: [one.name] } })]
      : [() => ({ sql: `ALTER TABLE ${name} DROP CONSTRAINT IF EXISTS ${name}_pkey, REPLICA IDENTITY FULL`, table: { ...table, key: [] } })]),
  ];
  return pick(random, changes)();
}

let fresh = 0;

/** Transactions of rows and changes of shape; `tables` is what they are in the end. */
export async function alteringTransactions(url: string, random: () => number, tables: RandomTable[], count: number): Promise<{ readonly committed: number; readonly altered: number }> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  let [committed, altered] = [0, 0];
  for (let i = 0; i < count; i++) {
    const now = [...tables];
    const batch: string[] = [];
    let changes = 0;
    for (let left = 1 + Math.floor(random() * 6); left > 0; left--) {
      const at = Math.floor(random() * now.length);
      if (random() < 0.8) batch.push(randomStatement(random, now[at] as RandomTable));
      else {
        const { sql, table } = randomDdl(random, now[at] as RandomTable, `n${fresh++}`);
        batch.push(sql);
        now[at] = table;
        changes++;
      }
    }
    const isKept = random() < 0.9;
    try {
      await client.query(`BEGIN; ${batch.join('; ')}; ${isKept ? 'COMMIT' : 'ROLLBACK'}`);
    } catch (error) {
      if (!refusalsOfDdl.test((error as { code?: string }).code ?? '')) throw error;
      await client.query('ROLLBACK');
      continue;
    }
    if (!isKept) continue;
    committed++;
    altered += changes;
    tables.splice(0, tables.length, ...now);
  }
  await client.end();
  return { committed, altered };
}
