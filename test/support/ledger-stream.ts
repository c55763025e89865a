import assert from 'node:assert/strict';
import type { TestDaemon } from './daemon.ts';
import type { TestDatabase } from './postgres.ts';
import { eventually } from './wait.ts';

/** A stream over the ledger's tables that has one of everything: groups, joins, joins within windows, events, and what is late for them. */
export const ledgerStream = `
import { count, max, stream, sum } from 'tailrace';

interface Account { id: number; bal: bigint }
interface Wide { id: number; small: number }
interface Entry { w: number; s: number }

const bounds = { before: '50ms', after: '100ms', leftAt: ({ bal }: Account) => Number(bal), rightAt: ({ small }: Wide) => 1000 + small * 10, grace: '1h' };

export default stream(({ table }) => {
  const accounts = table<Account>('public.acct');
  accounts.groupBy(() => ({ all: 'accounts' })).aggregate({ accounts: count(), total: sum((row: Account) => row.bal) })
    .to('total', { key: ['all'], columns: { all: 'text', accounts: 'int8', total: 'numeric' } });
  table<{ w: number; s: number }>('public.ledger').groupBy(({ w }) => ({ w })).aggregate({ entries: count(), latest: max((row: { s: number }) => row.s) })
    .to('writers', { key: ['w'], columns: { w: 'int4', entries: 'int8', latest: 'int4' } });
  table<{ w: number; s: number }>('public.nopk').groupBy(({ w, s }) => ({ w, s })).aggregate({ times: count() })
    .to('twins', { key: ['w', 's'], columns: { w: 'int4', s: 'int4', times: 'int8' } });
  table<Wide>('public.wide')
    .join(accounts, { left: ({ id }) => id, right: ({ id }) => id, combine: (wide, account) => ({ small: wide.small, bal: account.bal }) })
    .groupBy(({ small }) => ({ small }))
    .aggregate({ pairs: count(), total: sum((row: { bal: bigint }) => row.bal) })
    .to('joined', { key: ['small'], columns: { small: 'int4', pairs: 'int8', total: 'numeric' } });
  const near = accounts.within(table<Wide>('public.wide'), bounds).leftJoin({
    left: ({ id }) => id % 7, right: ({ id }) => id % 7, combine: (account, wide) => ({ rest: account.id % 7, wide: wide?.id ?? null }),
  });
  near.rows.groupBy(({ rest }) => ({ rest })).aggregate({ rows: count(), pairs: count((row: { wide: number | null }) => row.wide) })
    .to('near', { key: ['rest'], columns: { rest: 'int4', rows: 'int8', pairs: 'int8' } });
  // What two writers said at about the same time. Each fifth is of before what its own writer said last, by more than the grace.
  const by = (writer: number) => table<Entry>('public.ledger').filter(({ w }) => w === writer);
  const at = ({ s }: Entry): number => (s % 5 === 0 ? s - 12 : s);
  const { rows, late } = by(1).within(by(2), { leftAt: at, rightAt: at, before: '3ms', after: '2ms', grace: '4ms', emit: 'closed' })
    .outerJoin({ left: ({ s }) => s % 2, right: ({ s }) => s % 2, combine: (left, right) => ({ l: left?.s ?? null, r: right?.s ?? null }) });
  rows.to('pairs', { columns: { l: 'int4', r: 'int4' } });
  late.map(({ left, right }) => ({ l: left?.s ?? null, r: right?.s ?? null })).to('late', { columns: { l: 'int4', r: 'int4' } });
});
`;

/** What each output has to be, asked of the source itself. */
export const ledgerQueries: Readonly<Record<string, string>> = {
  total: `SELECT 'accounts', count(*), sum(bal) FROM acct`,
  writers: 'SELECT w, count(*), max(s) FROM ledger GROUP BY w',
  twins: 'SELECT w, s, count(*) FROM nopk GROUP BY w, s',
  near: 'SELECT acct.id % 7, count(*), count(wide.id) FROM acct LEFT JOIN wide ON acct.id % 7 = wide.id % 7 AND 1000 + small * 10 BETWEEN bal - 50 AND bal + 100 GROUP BY 1',
  joined: 'SELECT small, count(*), sum(bal) FROM wide JOIN acct USING (id) GROUP BY small',
};

/** A stream over what that one gives: groups and a join of tables that are results themselves. */
export const chainedStream = `
import { count, stream, sum } from 'tailrace';

interface Twin { w: number; s: number; times: bigint }

export default stream(({ table }) => {
  const twins = table<Twin>('public.twins');
  twins.groupBy(({ times }) => ({ times })).aggregate({ pairs: count(), total: sum(({ s }: Twin) => s) })
    .to('sizes', { key: ['times'], columns: { times: 'int8', pairs: 'int8', total: 'numeric' } });
  twins.join(table<{ w: number; entries: bigint }>('public.writers'), { left: ({ w }) => w, right: ({ w }) => w, combine: ({ w, times }, { entries }) => ({ w, times, entries }) })
    .groupBy(({ w, entries }) => ({ w, entries })).aggregate({ rows: sum(({ times }: { times: bigint }) => times) })
    .to('by_writer', { key: ['w'], columns: { w: 'int4', entries: 'int8', rows: 'numeric' } });
});
`;

export const chainedQueries: Readonly<Record<string, string>> = {
  sizes: 'SELECT times, count(*), sum(s) FROM (SELECT w, s, count(*) AS times FROM nopk GROUP BY w, s) twins GROUP BY times',
  by_writer: 'SELECT w, entries, count(*)::numeric FROM nopk JOIN (SELECT w, count(*) AS entries FROM ledger GROUP BY w) writers USING (w) GROUP BY w, entries',
};

/** A query's rows as texts, sorted; none where the table is not there yet. */
export async function rowsOf(database: TestDatabase, query: string): Promise<string[]> {
  return (await database.sql(`SELECT t::text AS row FROM (${query}) t ORDER BY 1`).catch(() => [])).map(({ row }) => String(row));
}

/** Waits until every output at the replica is what its query gives at the source; nobody may be writing. */
export async function outputsEqual(database: TestDatabase, replica: TestDatabase, daemon: TestDaemon, queries = ledgerQueries): Promise<void> {
  for (const [output, query] of Object.entries(queries)) {
    const wanted = await rowsOf(database, query);
    let last: string[] = [];
    const same = async (): Promise<boolean> => {
      last = await rowsOf(replica, `SELECT * FROM ${output}`);
      return JSON.stringify(last) === JSON.stringify(wanted);
    };
    await eventually(same, { what: output, timeoutMs: 90_000 }).catch(() => {
      assert.deepEqual(last, wanted, `${output}; the daemon said ${daemon.output.slice(-3000)}`);
    });
  }
}
