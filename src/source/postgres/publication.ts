import type { Query } from '../../runtime/postgres/connection.ts';
import { quoteIdentifier, quoteQualified } from '../../runtime/postgres/quote.ts';
import type { CatalogColumn } from './catalog.ts';

export interface PublicationState {
  readonly name: string;
  readonly oid: number;
  readonly allTables: boolean;
  readonly viaRoot: boolean;
  /** Whether stored generated columns are sent; never before PostgreSQL 18. */
  readonly generatedColumns: boolean;
  /** The operations that it does not publish: insert, update, delete, truncate. */
  readonly missing: readonly string[];
  /** Tables that it lists by themselves. */
  readonly listed: readonly number[];
  /** Everything that it publishes, roots in place of their partitions where it publishes by the root. */
  readonly relids: readonly number[];
  /** Whether our role may change it. */
  readonly owned: boolean;
}

interface PublicationRow extends Omit<PublicationState, 'missing'> {
  readonly ops: Readonly<Record<string, boolean>>;
}

export async function readPublication(query: Query, name: string, version: number): Promise<PublicationState | null> {
  const [row] = await query<{ publication: PublicationRow }>(
    `SELECT pg_catalog.json_build_object('name', p.pubname, 'oid', p.oid::pg_catalog.int8, 'allTables', p.puballtables, 'viaRoot', p.pubviaroot,
       'generatedColumns', ${version < 180_000 ? 'false' : "p.pubgencols = 's'"},
       'ops', pg_catalog.json_build_object('insert', p.pubinsert, 'update', p.pubupdate, 'delete', p.pubdelete, 'truncate', p.pubtruncate),
       'listed', (SELECT COALESCE(pg_catalog.json_agg(r.prrelid::pg_catalog.int8), '[]') FROM pg_catalog.pg_publication_rel r WHERE r.prpubid = p.oid),
       'relids', (SELECT COALESCE(pg_catalog.json_agg(g.relid::pg_catalog.oid::pg_catalog.int8), '[]') FROM pg_catalog.pg_get_publication_tables(p.pubname) g),
       'owned', pg_catalog.pg_has_role(current_user, p.pubowner, 'USAGE')) AS publication
     FROM pg_catalog.pg_publication p WHERE p.pubname = $1`,
    [name],
  );
  if (row === undefined) return null;
  const { ops, ...publication } = row.publication;
  return { ...publication, missing: Object.keys(ops).filter((op) => ops[op] === false) };
}

export async function publicationExists(query: Query, name: string): Promise<boolean> {
  return (await query('SELECT FROM pg_catalog.pg_publication p WHERE p.pubname = $1', [name])).length > 0;
}

/** A table as a publication's list names it. */
export interface PublishedTable {
  readonly relid: number;
  readonly schema: string;
  readonly name: string;
  readonly kind: string;
  readonly columns: readonly Pick<CatalogColumn, 'generated'>[];
}

/**
 * Statements that make a publication of ours publish exactly these tables; none when it does already. Children by inheritance
 * are tables of their own, which is what ONLY says; a partitioned table stands for its partitions. Each table has a statement of its
 * own: one that locked several could close a circle with somebody who alters them, and the server might end his transaction.
 */
export function publicationStatements(
  name: string,
  state: PublicationState | null,
  tables: readonly PublishedTable[],
  version: number,
): readonly string[] {
  const publication = quoteIdentifier(name);
  if (state === null) {
    const generated = version < 180_000 ? '' : `, ${sendGenerated}`;
    const made = `CREATE PUBLICATION ${publication} WITH (publish = 'insert, update, delete, truncate', publish_via_partition_root = true${generated})`;
    return [made, ...additions(publication, tables)];
  }
  const statements: string[] = [];
  // Without it the application's own UPDATE fails where such a column is part of the replica identity.
  const isDue = version >= 180_000 && !state.generatedColumns && tables.some(({ columns }) => columns.some(({ generated }) => generated === 'stored'));
  if (isDue) statements.push(`ALTER PUBLICATION ${publication} SET (${sendGenerated})`);
  return [...statements, ...additions(publication, tables.filter((table) => !state.listed.includes(table.relid)))];
}

function additions(publication: string, tables: readonly PublishedTable[]): readonly string[] {
  return tables.map((table) => `ALTER PUBLICATION ${publication} ADD TABLE ${listed(table)}`);
}

const sendGenerated = 'publish_generated_columns = stored';

/** The statement that takes a table out; what is dropped must be named as it is called now. */
export function removalStatement(name: string, table: PublishedTable): string {
  return `ALTER PUBLICATION ${quoteIdentifier(name)} DROP TABLE ${listed(table)}`;
}

function listed(table: PublishedTable): string {
  return `${table.kind === 'p' ? '' : 'ONLY '}${quoteQualified(table.schema, table.name)}`;
}
