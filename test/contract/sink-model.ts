import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { TableSchema } from '../../src/event/table.ts';
import type { TableChanges, TableOperation } from '../../src/sink/sink.ts';
import { apply, changes, insert, positionAt, read, rekey, remove, tableOf, truncate, update, updateFull } from './sink-samples.ts';
import { openSession, sorted, type SinkHarness } from './sink.ts';

type Row = [id: string, name: string | null, note: string | null];

/** What a source could do next; `a` and `b` pick rows or free keys, so that every sequence is one that a source can produce. */
interface Step {
  readonly kind: 'insert' | 'read' | 'update' | 'name' | 'note' | 'delete' | 'rekey' | 'rekeyPart' | 'truncate' | 'twin';
  readonly a: number;
  readonly b: number;
  readonly text: string | null;
  /** Ends the write, or the transaction, behind this step. */
  readonly cut: 'no' | 'write' | 'commit';
}

const steps = fc.array(
  fc.record<Step>({
    kind: fc.oneof(
      { weight: 30, arbitrary: fc.constantFrom<Step['kind'][]>('insert', 'update', 'name', 'note', 'delete', 'rekey', 'rekeyPart', 'read', 'twin') },
      { weight: 1, arbitrary: fc.constant<Step['kind']>('truncate') },
    ),
    a: fc.nat(),
    b: fc.nat(),
    text: fc.constantFrom(null, '', 'x', 'y', '\\', 'tab\tline\n'),
    cut: fc.oneof({ weight: 12, arbitrary: fc.constant<Step['cut']>('no') }, { weight: 1, arbitrary: fc.constantFrom<Step['cut'][]>('write', 'commit') }),
  }),
  { minLength: 1, maxLength: 150 },
);

const ids = ['1', '2', '3', '4', '5', '6', '7'];

/** The source's table: what a sequence of changes must leave, and the changes as Postgres would send them. */
class Model {
  readonly table: TableSchema;
  rows: Row[] = [];

  constructor(table: TableSchema) {
    this.table = table;
  }

  /** The change that the step makes here, or undefined where it can't be. */
  step({ kind, a, b, text }: Step): TableOperation | undefined {
    const keyed = this.table.key.length > 0;
    const free = keyed ? ids.filter((id) => !this.rows.some((row) => row[0] === id)) : ids;
    const fresh = free[b % Math.max(free.length, 1)];
    const at = a % Math.max(this.rows.length, 1);
    const old = this.rows[at];
    if (kind === 'truncate') {
      this.rows = [];
      return truncate;
    }
    if (kind === 'insert' || (kind === 'twin' && !keyed)) {
      if (fresh === undefined) return undefined;
      const row: Row = kind === 'twin' && old !== undefined ? [...old] : [fresh, text, 'long'];
      this.rows.push(row);
      return insert(this.table, row);
    }
    if (old === undefined) return undefined;
    if (kind === 'read') return keyed ? read(this.table, old) : undefined;
    if (kind === 'delete') {
      this.rows.splice(at, 1);
      return remove(this.table, old);
    }
    if (kind === 'twin' || ((kind === 'rekey' || kind === 'rekeyPart') && fresh === undefined)) return undefined;
    const next: Row = [kind === 'rekey' || kind === 'rekeyPart' ? (fresh as string) : old[0], kind === 'note' ? old[1] : text, kind === 'note' || kind === 'update' || kind === 'rekey' ? text : old[2]];
    const sent = [next[0], kind === 'note' ? undefined : next[1], kind === 'name' || kind === 'rekeyPart' ? undefined : next[2]];
    this.rows[at] = next;
    if (this.table.replicaIdentity === 'full') return updateFull(this.table, old, sent);
    return next[0] === old[0] ? update(this.table, sent) : rekey(this.table, old, sent);
  }
}

/** Any sequence of changes, cut into writes and transactions anywhere, leaves what it left at the source. */
export function sinkModelRules(harness: SinkHarness): void {
  const columns = [['id', 'integer'], ['name', 'text'], ['note', 'text']] as const;
  const tables = [
    { what: 'a table with a key', table: tableOf({ columns, name: 'keyed' }) },
    { what: 'a table with a key under replica identity full', table: tableOf({ columns, name: 'whole', identity: 'full' }) },
    { what: 'a table without a key', table: tableOf({ columns, name: 'bag', key: [] }) },
  ];
  for (const { what, table } of tables) {
    test(`${what} ends as its source, whatever happened and however it was cut`, async (t) => {
      const replica = await harness.replica(t);
      const session = await openSession(t, replica.sink());
      let lsn = 1;
      await apply(session, positionAt(lsn++), changes(table, [truncate]));
      await fc.assert(
        fc.asyncProperty(steps, async (sequence) => {
          const model = new Model(table);
          let writes: TableChanges[] = [];
          let list: TableOperation[] = [truncate];
          const cut = async (how: Step['cut']): Promise<void> => {
            if (how === 'no') return;
            writes.push(changes(table, list));
            list = [];
            if (how !== 'commit') return;
            await apply(session, positionAt(lsn++), ...writes);
            writes = [];
          };
          try {
            for (const step of sequence) {
              const change = model.step(step);
              if (change !== undefined) list.push(change);
              await cut(step.cut);
            }
            await cut('commit');
          } finally {
            await session.abort();
          }
          assert.deepEqual(sorted(await replica.rows(table)), sorted(model.rows));
        }),
        { numRuns: 60 },
      );
    });
  }
}
