import { quoteIdentifier as quote, quoteQualified } from '../../runtime/postgres/quote.ts';
import type { Target, TargetColumn } from './target.ts';
import type { Statement } from './wire.ts';

/** The text of every statement that writes rows. Names are quoted, values are parameters or COPY data; no others are needed. */

export function qualified(target: Pick<Target, 'name'>): string {
  return quoteQualified(target.name.schema, target.name.name);
}

/** Temporary tables are found by their schema alone: the search path holds nothing that anyone could have put in front. */
export function stageName(target: Target): string {
  return `pg_temp.${quote(`tailrace_stage_${target.id}`)}`;
}

/** Indexes into tuples of the columns of a statement's parameters, in order: first those of the new row, then those of the key. */
export interface RowStatement extends Statement {
  readonly row: readonly number[];
  readonly key: readonly number[];
}

/** Statements for one row. The same object is handed out again, so that its name stands for a prepared statement. */
export class RowStatements {
  readonly upsert: RowStatement;
  readonly delete: RowStatement;
  readonly #target: Target;
  readonly #updates = new Map<string, RowStatement>();

  constructor(target: Target) {
    this.#target = target;
    const { columns, key } = target;
    const all = columns.map((column) => column.index);
    const values = columns.length === 0 ? 'DEFAULT VALUES' : `VALUES (${columns.map((_, i) => `$${i + 1}`).join(', ')})`;
    this.upsert = { name: `tr${target.id}_upsert`, text: `${insertInto(target)} ${values}${onConflict(target)}`, row: all, key: [] };
    this.delete = key.length === 0 ? this.#deleteOneOf() : { name: `tr${target.id}_delete`, text: `DELETE FROM ONLY ${qualified(target)} t WHERE ${this.#whereKey(0)}`, row: [], key };
  }

  /** Sets the columns `present`; the row is the one with the key in the last parameters. */
  update(present: readonly number[], options: { readonly keyToo: boolean }): RowStatement {
    const name = `${options.keyToo ? 'k' : ''}${present.join('_')}`;
    const known = this.#updates.get(name);
    if (known !== undefined) return known;
    const { key, columns } = this.#target;
    const row = settable(present, options.keyToo ? [] : key);
    const sets = row.map((index, i) => `${quote(nameOf(columns, index))} = $${i + 1}`);
    const text = `UPDATE ONLY ${qualified(this.#target)} t SET ${sets.join(', ')} WHERE ${this.#whereKey(row.length)}`;
    // Every set of columns makes a statement: a table where all of them occur must not fill the server with plans.
    const kept = this.#updates.size < 64;
    const statement = { name: kept ? `tr${this.#target.id}_update_${this.#updates.size}` : '', text, row, key };
    if (kept) this.#updates.set(name, statement);
    return statement;
  }

  /** Without a key: takes one row away of those that are equal. */
  #deleteOneOf(): RowStatement {
    const { columns } = this.#target;
    const given = `ROW(${columns.map((column, i) => `$${i + 1}::${column.type}`).join(', ')})::text`;
    const name = qualified(this.#target);
    const text = `DELETE FROM ONLY ${name} WHERE ctid = (SELECT t.ctid FROM ONLY ${name} t WHERE ${image(columns, 't')} = ${given} LIMIT 1)`;
    return { name: `tr${this.#target.id}_delete`, text, row: columns.map((column) => column.index), key: [] };
  }

  #whereKey(before: number): string {
    const { key, columns } = this.#target;
    return key
      .map((index, i) => {
        const column = columns.find((one) => one.index === index) as TargetColumn;
        return `t.${quote(column.name)} ${column.equals ?? '='} $${before + i + 1}::${column.type}`;
      })
      .join(' AND ');
  }
}

/** The alias: a table may be called `excluded`, which means another thing behind ON CONFLICT. */
function insertInto({ name, columns }: Target): string {
  return `INSERT INTO ${qualified({ name })} AS t${columns.length === 0 ? '' : ` (${list(columns)})`}`;
}

export function copyInto(target: Target): string {
  return `COPY ${qualified(target)} (${list(target.columns)}) FROM STDIN`;
}

/** Nobody else may see rows of a transaction that is not over: TRUNCATE takes the table's lock until then. */
export function truncate(target: Target): string {
  return target.referenced ? `DELETE FROM ONLY ${qualified(target)}` : `TRUNCATE ONLY ${qualified(target)}`;
}

/** A temporary table with the target's types: `op` says what is to be done with a row, `c1`, `c2`, … are the target's columns. */
export function createStage(target: Target): string {
  const names = ['op', ...target.columns.map((_, i) => `c${i + 1}`)].join(', ');
  const types = ['0::int4', ...target.columns.map((column) => quote(column.name))].join(', ');
  return `CREATE TEMP TABLE ${stageName(target)} (${names}) ON COMMIT DELETE ROWS AS SELECT ${types} FROM ${qualified(target)} WITH NO DATA`;
}

export function copyIntoStage(target: Target): string {
  return `COPY ${stageName(target)} FROM STDIN`;
}

/** Deletes the rows whose keys are staged under `op`. */
export function deleteStaged(target: Target, op: number): string {
  return `DELETE FROM ONLY ${qualified(target)} t USING ${stageName(target)} s WHERE s.op = ${op} AND ${joinKey(target)}`;
}

export function upsertStaged(target: Target, op: number): string {
  const from = target.columns.map((_, i) => `c${i + 1}`).join(', ');
  return `${insertInto(target)} SELECT ${from} FROM ${stageName(target)} WHERE op = ${op}${onConflict(target)}`;
}

export function updateStaged(target: Target, op: number, present: readonly number[]): string {
  const sets = settable(present, target.key).map((index) => {
    const at = target.columns.findIndex((column) => column.index === index);
    return `${quote((target.columns[at] as TargetColumn).name)} = s.c${at + 1}`;
  });
  return `UPDATE ONLY ${qualified(target)} t SET ${sets.join(', ')} FROM ${stageName(target)} s WHERE s.op = ${op} AND ${joinKey(target)}`;
}

/**
 * Without a key: each staged row says in `op` how many of the rows equal to it go. Equal is the text of every value, as one text
 * of the whole row: a comparison that can be hashed, where a column-wise IS NOT DISTINCT FROM would be a nested loop.
 */
export function deleteStagedCopies(target: Target): string {
  const staged = target.columns.map((column, i) => ({ ...column, name: `c${i + 1}` }));
  const name = qualified(target);
  return (
    `WITH gone AS (SELECT sum(op) AS n, ${image(staged, 's')} AS row FROM ${stageName(target)} s GROUP BY 2), ` +
    `found AS (SELECT t.ctid AS at, g.n, row_number() OVER (PARTITION BY g.row) AS nth FROM ONLY ${name} t JOIN gone g ON ${image(target.columns, 't')} = g.row) ` +
    `DELETE FROM ONLY ${name} t USING found f WHERE t.ctid = f.at AND f.nth <= f.n`
  );
}

/**
 * A whole row as one text: `(1,"a b",)`, made of its values' own texts (a cast to text drops the trailing blanks of a bpchar). Quoting
 * tells NULL from the empty text, and the "C" collation compares bytes.
 */
function image(columns: readonly TargetColumn[], alias: string): string {
  return `ROW(${columns.map((column) => `${alias}.${quote(column.name)}`).join(', ')})::text COLLATE "C"`;
}

function joinKey(target: Target): string {
  return target.key
    .map((index) => {
      const at = target.columns.findIndex((column) => column.index === index);
      const column = target.columns[at] as TargetColumn;
      return `t.${quote(column.name)} ${column.equals ?? '='} s.c${at + 1}`;
    })
    .join(' AND ');
}

function onConflict(target: Target): string {
  if (target.key.length === 0) return '';
  const keyColumns = target.columns.filter((column) => target.key.includes(column.index));
  const sets = target.columns
    .filter((column) => !target.key.includes(column.index))
    .map((column) => `${quote(column.name)} = EXCLUDED.${quote(column.name)}`);
  return ` ON CONFLICT (${list(keyColumns)}) DO ${sets.length === 0 ? 'NOTHING' : `UPDATE SET ${sets.join(', ')}`}`;
}

/** What an update sets: the columns that came but the key, or the key when nothing else did, so that the row is looked for. */
function settable(present: readonly number[], key: readonly number[]): readonly number[] {
  const others = present.filter((index) => !key.includes(index));
  return others.length > 0 ? others : key;
}

function nameOf(columns: readonly TargetColumn[], index: number): string {
  return (columns.find((column) => column.index === index) as TargetColumn).name;
}

function list(columns: readonly TargetColumn[]): string {
  return columns.map((column) => quote(column.name)).join(', ');
}
