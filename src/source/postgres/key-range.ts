import type { TableShape } from '../../event/table.ts';
import type { Query } from '../../runtime/postgres/connection.ts';
import { quoteIdentifier, quoteLiteral, quoteQualified } from '../../runtime/postgres/quote.ts';

/** How one column of the key is ordered by its index. */
export interface KeyColumn {
  readonly name: string;
  /** As `format_type` writes it, for casting the text of a value back. */
  readonly type: string;
  /** SQL operators, qualified. */
  readonly less: string;
  readonly lessOrEqual: string;
  readonly equal: string;
  readonly greater: string;
  /** Where the index has another collation than the column. */
  readonly collation: string | null;
  /** The operators are the type's usual ones, in pg_catalog. */
  readonly plain: boolean;
}

interface OperatorRow {
  readonly place: number;
  readonly strategy: number;
  readonly schema: string;
  readonly name: string;
  readonly collation_schema: string | null;
  readonly collation: string | null;
}

/**
 * The order of the index that is the table's key. Its operators are asked for, because our search_path sees pg_catalog only:
 * `citext > citext` would quietly become a comparison of texts there, in another order than that of the index.
 */
export async function readKeyColumns(query: Query, table: TableShape): Promise<readonly KeyColumn[]> {
  const rows = await query<OperatorRow>(
    `SELECT k.place::pg_catalog.int4 AS place, m.amopstrategy::pg_catalog.int4 AS strategy, n.nspname AS schema, o.oprname AS name,
       cn.nspname AS collation_schema, c.collname AS collation
     FROM pg_catalog.pg_index i
     CROSS JOIN LATERAL ROWS FROM (pg_catalog.unnest(i.indclass::pg_catalog.oid[]), pg_catalog.unnest(i.indcollation::pg_catalog.oid[]),
       pg_catalog.unnest((i.indkey::pg_catalog.int2[])[0:i.indnkeyatts - 1])) WITH ORDINALITY AS k(opclass, coll, attnum, place)
     JOIN pg_catalog.pg_opclass oc ON oc.oid = k.opclass
     JOIN pg_catalog.pg_amop m ON m.amopfamily = oc.opcfamily AND m.amoplefttype = oc.opcintype AND m.amoprighttype = oc.opcintype
     JOIN pg_catalog.pg_operator o ON o.oid = m.amopopr JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace
     JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
     LEFT JOIN pg_catalog.pg_collation c ON c.oid = k.coll AND k.coll <> a.attcollation
     LEFT JOIN pg_catalog.pg_namespace cn ON cn.oid = c.collnamespace
     WHERE i.indrelid = $1 AND i.indisvalid AND i.indimmediate
       AND CASE WHEN $2 THEN i.indisreplident ELSE i.indisprimary END AND m.amopstrategy IN (1, 2, 3, 5)`,
    [table.relid, table.replicaIdentity === 'index'],
  );
  return table.key.map((index, i) => {
    const column = table.columns[index];
    const operators = rows.filter((row) => row.place === i + 1);
    const operator = (strategy: number): string => {
      const found = operators.find((row) => row.strategy === strategy);
      return found === undefined ? 'OPERATOR(pg_catalog.=)' : `OPERATOR(${quoteIdentifier(found.schema)}.${found.name})`;
    };
    const [first] = operators;
    const collation = first?.collation == null ? null : quoteQualified(first.collation_schema ?? 'pg_catalog', first.collation);
    const plain = collation === null && operators.every((row) => row.schema === 'pg_catalog' && ['<', '<=', '=', '>'].includes(row.name));
    return { name: column?.name ?? '', type: column?.type ?? '', less: operator(1), lessOrEqual: operator(2), equal: operator(3), greater: operator(5), collation, plain };
  });
}

export function orderBy(key: readonly KeyColumn[]): string {
  return `ORDER BY ${key.map((column) => (column.plain ? side(column) : `${side(column)} USING ${column.less}`)).join(', ')}`;
}

/** Rows behind `after`, in the key's order. */
export function behind(key: readonly KeyColumn[], after: readonly string[]): string {
  if (key.every((column) => column.plain)) {
    return `(${key.map(side).join(', ')}) OPERATOR(pg_catalog.>) (${key.map((column, i) => value(column, after[i])).join(', ')})`;
  }
  // A row comparison has one operator name for all its columns; where they differ it is spelt out.
  return key.reduceRight((rest, column, i) => {
    const greater = `${side(column)} ${column.greater} ${value(column, after[i])}`;
    return rest === '' ? greater : `(${greater} OR (${side(column)} ${column.equal} ${value(column, after[i])} AND ${rest}))`;
  }, '');
}

/** Rows up to `until` and with it, in the key's order. */
export function upTo(key: readonly KeyColumn[], until: readonly string[]): string {
  if (key.every((column) => column.plain)) {
    return `(${key.map(side).join(', ')}) OPERATOR(pg_catalog.<=) (${key.map((column, i) => value(column, until[i])).join(', ')})`;
  }
  const [first] = key;
  // The first condition is for the index, which cannot use the second one.
  return first === undefined ? 'true' : `(${side(first)} ${first.lessOrEqual} ${value(first, until[0])} AND NOT (${behind(key, until)}))`;
}

/** The texts of the key's columns, as they can be compared with again; not for rows, whose texts are the output form. */
export function keyTextList(key: readonly KeyColumn[]): string {
  return `ARRAY[${key.map((column) => `${quoteIdentifier(column.name)}::pg_catalog.text`).join(', ')}]`;
}

/** The rows with these keys. */
export function among(key: readonly KeyColumn[], keys: readonly (readonly string[])[]): string {
  if (keys.length === 0) return 'false';
  const one = (texts: readonly string[]): string => `(${key.map((column, i) => `${side(column)} ${column.equal} ${value(column, texts[i])}`).join(' AND ')})`;
  return `(${keys.map(one).join(' OR ')})`;
}

function side(column: KeyColumn): string {
  return column.collation === null ? quoteIdentifier(column.name) : `${quoteIdentifier(column.name)} COLLATE ${column.collation}`;
}

function value(column: KeyColumn, text: string | undefined): string {
  if (text === undefined) throw new RangeError('a key with fewer values than columns');
  return `${quoteLiteral(text)}::${column.type}`;
}
