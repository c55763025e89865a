import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { jsonFormOf, type JsonForm } from '../src/codec/json-value.ts';
import type { Column } from '../src/event/table.ts';
import { readTypes } from '../src/sink/postgres/catalog.ts';
import { formOf, storageOf } from '../src/sink/sqlite/representation.ts';
import { fillBlock, holdFile } from './support/held-file.ts';
import { freshDatabase, type TestDatabase } from './support/postgres.ts';
import { sourceOn } from './source/postgres/support.ts';
import { typeFamilies } from './support/type-samples.ts';

const json: Readonly<Record<JsonForm, string>> = {
  'text': 'text', 'number': 'number', 'boolean': 'true or false', 'base64': 'base64', 'zoned': 'ISO 8601, UTC', 'date': 'days since 1970',
  'time': 'microseconds', 'time-ms': 'milliseconds', 'timestamp': 'microseconds since 1970', 'timestamp-ms': 'milliseconds since 1970',
};

/** Each type of the samples as a source describes a column of it. */
async function columnsOf(database: TestDatabase): Promise<ReadonlyMap<string, readonly (readonly [type: string, column: Column])[]>> {
  for (const { name, setup, samples } of typeFamilies) {
    await database.sql(`CREATE SCHEMA ${name}; SET search_path = ${name}; ${setup ?? 'SELECT'}; CREATE TABLE t (id int PRIMARY KEY, ${samples.map(([type], i) => `c${i} ${type}`).join(', ')})`);
  }
  const { tables } = await sourceOn(database.url, { config: { tables: { include: ['*.t'] } } }).check();
  return new Map(typeFamilies.map(({ name, samples }) => {
    const columns = tables.find(({ schema }) => schema === name)?.columns.slice(1) ?? [];
    return [name, samples.map(([type], i) => [type, columns[i] as Column] as const)];
  }));
}

test('docs/types.md has every type, with what the codecs and sinks make of it, and no other', async (t) => {
  const [source, replica] = [await freshDatabase(t), await freshDatabase(t)];
  const families = await columnsOf(source);
  const rows: string[] = [];
  for (const [family, types] of families) {
    const found = await readTypes((text, params) => replica.sql(text, params), types.map(([, column]) => column));
    const groups = new Map<string, string[]>();
    for (const [i, [type, column]] of types.entries()) {
      const there = found[i]?.type ?? '';
      const own = column.definition === undefined ? '' : ' (or the same)';
      const postgres = there === column.type ? 'same' : `\`${there}\`${there === 'text' && own === '' ? '' : own}`;
      const key = `${json[jsonFormOf(column)]} | ${postgres} | ${storageOf(formOf(column))}`;
      groups.set(key, [...(groups.get(key) ?? []), `\`${type.replace('public.', '')}\``]);
    }
    for (const [forms, names] of groups) rows.push(`| ${family} | ${names.join(', ')} | ${forms} |`);
  }
  const block = ['| | type | json | Postgres replica | SQLite replica |', '|---|---|---|---|---|', ...rows].join('\n');
  holdFile('docs/types.md', (page) => fillBlock(page, 'types', block));

  const builtIn = await source.sql<{ type: string }>(
    `SELECT format_type(t.oid, NULL) AS type FROM pg_type t WHERE t.typnamespace = 'pg_catalog'::regnamespace AND t.typtype IN ('b', 'r', 'm') AND t.typname !~ '^_'`,
  );
  const page = readFileSync(new URL('../docs/types.md', import.meta.url), 'utf8');
  assert.ok(builtIn.length > 60);
  assert.deepEqual(builtIn.map(({ type }) => type).filter((type) => !page.includes(`\`${type}\``) && !page.includes(`\`${type}(`)), []);
});
