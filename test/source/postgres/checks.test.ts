import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CatalogTable } from '../../../src/source/postgres/catalog.ts';
import { runChecks } from '../../../src/source/postgres/checks/run.ts';
import { sourceNames } from '../../../src/source/postgres/names.ts';
import type { ServerFacts } from '../../../src/source/postgres/facts.ts';
import type { Survey } from '../../../src/source/postgres/prepare.ts';
import type { PublicationState } from '../../../src/source/postgres/publication.ts';
import { selectTables } from '../../../src/source/postgres/selection.ts';
import type { SlotState } from '../../../src/source/postgres/slot.ts';

const facts: ServerFacts = {
  version: 180_000, versionText: '18.0', inRecovery: false, walLevel: 'logical', database: 'shop', encoding: 'UTF8', walSenderTimeoutMs: 60_000,
  role: 'cdc', mayReplicate: true, superuser: false, bypassesRls: false, mayCreate: true, slots: { max: 10, used: 0 }, senders: { max: 10, used: 0 },
  maxSlotWalKeepSize: 50_000, synchronousStandbyNames: '',
};

function table(name: string, changes: Partial<CatalogTable> = {}): CatalogTable {
  return {
    relid: name.charCodeAt(0), schema: 'public', name, kind: 'r', persistence: 'p', replicaIdentity: 'default', files: '1', rowSecurity: false, selectable: true,
    owned: true, columns: [], primaryKey: [1], identityIndex: null, leaves: [], ancestors: [], published: [1, 2, 3], filter: null, ...changes,
  };
}

/** Columns a, b, … with the attnums 1, 2, …: `a b+ c~` has a stored generated b and a virtual c. */
function columns(names: string): Pick<CatalogTable, 'columns'> {
  return {
    columns: names.split(' ').map((name, i) => ({
      name: name.replace(/[+~]$/, ''), attnum: i + 1, typeOid: 23, typmod: -1, type: 'integer', baseTypeOid: 23, notNull: true,
      generated: name.endsWith('+') ? 'stored' : name.endsWith('~') ? 'virtual' : null,
    })),
  };
}

const slot: SlotState = {
  name: 'tailrace_shop', plugin: 'pgoutput', database: 'shop', activePid: null, restartLsn: 1n, confirmedFlush: 1n, walStatus: 'reserved',
  safeWalSize: null, invalidationReason: null, twoPhase: false, walHeld: 0, spilled: 0,
};
const publication: PublicationState = { name: 'tailrace_shop', oid: 1, allTables: false, viaRoot: true, generatedColumns: true, missing: [], listed: [97], relids: [97], owned: true };

interface Changes {
  readonly facts?: Partial<ServerFacts>;
  readonly config?: { slot?: string; publication?: string };
  readonly slot?: SlotState | null;
  readonly publication?: PublicationState | null;
  readonly tables?: readonly CatalogTable[];
  readonly include?: readonly string[];
  readonly copies?: boolean;
  readonly origin?: 'any' | 'none';
}

function survey(changes: Changes): Survey {
  const names = sourceNames(changes.config ?? {}, 'shop');
  const tables = changes.tables ?? [table('a')];
  const state = changes.publication === undefined ? null : changes.publication;
  return {
    names, copies: changes.copies ?? true, origin: changes.origin ?? 'any', facts: { ...facts, ...changes.facts }, publication: state, slot: changes.slot ?? null, tables,
    selection: selectTables(tables, { include: changes.include ?? ['public.*'], exclude: [] }, { named: names.ownPublication ? null : state, version: changes.facts?.version ?? facts.version }),
  };
}

function findings(changes: Changes = {}): string[] {
  return runChecks(survey(changes)).map((finding) => `${finding.severity} ${finding.check}: ${finding.message}`);
}

test('a server that is as it has to be has no findings', () => {
  assert.deepEqual(findings(), []);
  assert.deepEqual(findings({ slot, publication }), []);
});

const cases: readonly (readonly [what: string, changes: Changes, expected: readonly RegExp[]])[] = [
  ['an old version', { facts: { version: 130_010, versionText: '13.10' } }, [/^error version: the server is PostgreSQL 13.10/]],
  ['a standby', { facts: { inRecovery: true } }, [/^error recovery/]],
  ['wal_level replica', { facts: { walLevel: 'replica' } }, [/^error wal-level: wal_level is replica/]],
  ['SQL_ASCII', { facts: { encoding: 'SQL_ASCII' } }, [/^error server-encoding/]],
  ['LATIN1 is converted by the server', { facts: { encoding: 'LATIN1' } }, []],
  ['no limit for kept WAL', { facts: { maxSlotWalKeepSize: -1 } }, [/^warning wal-kept: max_slot_wal_keep_size is not set/]],
  ['a small limit for kept WAL', { facts: { maxSlotWalKeepSize: 64 } }, [/^warning wal-kept: max_slot_wal_keep_size is 64 MB/]],
  ['no slot left', { facts: { slots: { max: 2, used: 2 } } }, [/^error slots-left: all 2/]],
  ['no slot left, but ours is there', { facts: { slots: { max: 2, used: 2 } }, slot, publication }, []],
  ['no sender left', { facts: { senders: { max: 2, used: 2 } } }, [/^error senders-left/]],
  ['a role without REPLICATION', { facts: { mayReplicate: false } }, [/^error replication-right: the role cdc/]],
  ['no right to make the publication', { facts: { mayCreate: false } }, [/^error publication-right/]],
  ['no right needed where the publication is there', { facts: { mayCreate: false }, publication }, []],
  ["a table of somebody else's", { tables: [table('a', { owned: false })] }, [/^error publication-right: the role cdc does not own public.a/]],
  ["tables of somebody else's", { tables: [table('a', { owned: false }), table('b'), table('c', { owned: false })] }, [/^error publication-right: the role cdc does not own public.a, public.c, so it cannot publish them/]],
  ["a table of somebody else's in a named publication", { tables: [table('a', { owned: false })], config: { publication: 'p' }, publication }, []],
  ['no SELECT', { tables: [table('a', { selectable: false })] }, [/^error select-right/]],
  ['no SELECT, and nothing to be read', { tables: [table('a', { selectable: false })], copies: false }, [/^warning select-right/]],
  ['row-level security', { tables: [table('a', { rowSecurity: true })] }, [/^error row-security/]],
  ['row-level security and BYPASSRLS', { tables: [table('a', { rowSecurity: true })], facts: { bypassesRls: true } }, []],
  ['a named publication that is missing', { config: { publication: 'p' } }, [/^error publication: the publication p does not exist/]],
  ['a publication without deletes', { publication: { ...publication, missing: ['delete', 'truncate'] } }, [/^error publication-operations: .* does not publish delete, truncate/]],
  ['a named slot that is missing', { config: { slot: 's' } }, [/^error slot: the replication slot s does not exist/]],
  ['a physical slot', { slot: { ...slot, plugin: null, database: null }, publication }, [/^error slot: .* is a physical one/]],
  ['a slot of another database', { slot: { ...slot, database: 'other' }, publication }, [/^error slot: .* in the database other/]],
  ['a slot with transactions too large to be decoded in memory', { slot: { ...slot, spilled: 3_000_000_000 } }, [/^note slot-spills: 2.8 GiB of transactions .* tailrace_shop/]],
  ['a lost slot', { slot: { ...slot, walStatus: 'lost' }, publication }, [/^error slot-lost/]],
  ['an invalidated slot', { slot: { ...slot, invalidationReason: 'idle_timeout' }, publication }, [/^error slot-lost: .*idle_timeout/]],
  ['a slot with two_phase', { slot: { ...slot, twoPhase: true }, publication }, [/^error slot: .* was made with two_phase/]],
  ['origin none on a version that does not know it', { origin: 'none', facts: { version: 150_018, versionText: '15.18' } }, [/^error origin: .* PostgreSQL 15.18 cannot/]],
  ['origin none', { origin: 'none', facts: { version: 160_014 } }, []],
  ['no table at all', { tables: [] }, [/^error tables/, /^warning table-pattern: tables.include: public.\* matches no table/]],
  ['a name that matches nothing', { include: ['public.a', 'public.A'] }, [/^error table-pattern: tables.include: public.A matches/]],
  ['a table without identity, by pattern', { tables: [table('a'), table('b', { primaryKey: null })] }, [/^warning replica-identity: public.b is left out/]],
  ['a table without identity, by name', { tables: [table('a'), table('b', { primaryKey: null })], include: ['public.?', 'public.b'] }, [/^error replica-identity: public.b is left out/]],
  ['replica identity nothing', { tables: [table('a'), table('b', { replicaIdentity: 'nothing' })] }, [/^warning replica-identity: .* is nothing/]],
  ['identity by an index that is gone', { tables: [table('a'), table('b', { replicaIdentity: 'index' })] }, [/^warning replica-identity/]],
  ['identity full without a key', { tables: [table('a', { replicaIdentity: 'full', primaryKey: null })] }, []],
  ['views, by pattern', { tables: [table('a'), table('v', { kind: 'v' }), table('m', { kind: 'm' }), table('t', { persistence: 't' })] }, [/^note table-kind: not captured, .*: public.v \(a view\), public.m \(a materialized view\)$/]],
  ['a view, by name', { tables: [table('a'), table('v', { kind: 'v' })], include: ['public.a', 'public.v'] }, [/^error table-kind: public.v is left out: it is a view/]],
  ['a foreign table, by name', { tables: [table('a'), table('f', { kind: 'f' })], include: ['public.a', 'public.f'] }, [/^error table-kind: .* foreign/]],
  ['an unlogged table', { tables: [table('a'), table('u', { persistence: 'u' })] }, [/^warning table-kind: .* unlogged/]],
  ['partitions of a table that is captured', { tables: [table('a', { kind: 'p' }), table('b', { ancestors: [97], primaryKey: null })] }, []],
  ['a partition with another identity', {
    tables: [table('a', { kind: 'p', leaves: [{ name: 'public.b', replicaIdentity: 'n', hasPrimaryKey: true, persistence: 'p', kind: 'r' }] }), table('x')],
  }, [/^warning replica-identity: public.a is left out: its partition public.b/]],
  ['partitions with identity full', { tables: [table('a', { kind: 'p', leaves: [{ name: 'public.b', replicaIdentity: 'f', hasPrimaryKey: false, persistence: 'p', kind: 'r' }] })] }, []],
  ['a partition that is a foreign table', { tables: [table('a', { kind: 'p', leaves: [{ name: 'public.b', replicaIdentity: 'd', hasPrimaryKey: true, persistence: 'p', kind: 'f' }] }), table('x')] }, [/^warning table-kind: .* public.b is a foreign table/]],
  ['a generated column that is sent', { tables: [table('a', { ...columns('a b+'), replicaIdentity: 'full', primaryKey: [2] })] }, []],
  ['identity full with a virtual column', { tables: [table('a', { ...columns('a b~'), replicaIdentity: 'full', published: [1] }), table('x')] }, [/^warning publication-columns: .* \(full\) includes b, a generated/]],
  ['identity full with a generated column, before they are sent', { facts: { version: 170_000 }, tables: [table('a', { ...columns('a b+'), replicaIdentity: 'full', published: [1] })] }, []],
  ['a generated column in the key, before they are sent', { facts: { version: 170_000 }, tables: [table('a', { ...columns('a b+'), primaryKey: [2, 1], published: [1] }), table('x')] }, [/^warning publication-columns: .* includes b, a generated/]],
  ['a column list without the key', { config: { publication: 'p' }, publication: { ...publication, name: 'p', relids: [97, 120] }, tables: [table('a', { ...columns('a b'), published: [2] }), table('x')] }, [/^warning publication-columns: .* includes a, which the publication leaves out/]],
  ['a table that a named publication lacks', { config: { publication: 'p' }, publication: { ...publication, name: 'p' }, tables: [table('a'), table('b')] }, [/^warning publication-member: public.b is left out/]],
];
for (const [what, changes, expected] of cases) {
  test(`${what}: ${expected.length === 0 ? 'no finding' : expected.map((pattern) => pattern.source).join(' and ')}`, () => {
    const found = findings(changes);
    assert.equal(found.length, expected.length, found.join('\n'));
    for (const [i, pattern] of expected.entries()) assert.match(found[i] ?? '', pattern);
  });
}

for (const [names, hit] of [
  ['*', true], ['"*"', true], ['FIRST 1 (a, "tailrace/shop")', true], ['ANY 2 ("TAILRACE/SHOP", b)', true],
  ['a,b', false], ['tailrace', false], ['"tailrace/shop2"', false], ['2 (*)', true],
] as const) {
  test(`synchronous_standby_names = ${names} ${hit ? 'would make commits wait for us' : 'is nothing of ours'}`, () => {
    assert.equal(findings({ facts: { synchronousStandbyNames: names } }).some((finding) => finding.startsWith('error synchronous-standby')), hit);
  });
}

test('nobody is told to publish a table without an identity before it has one', () => {
  const bare = table('b', { primaryKey: null });
  const [found] = runChecks(survey({ config: { publication: 'p' }, publication: { ...publication, name: 'p' }, tables: [table('a'), bare] }));
  assert.match(found?.remedy ?? '', /^ALTER TABLE "public"."b" REPLICA IDENTITY FULL; .* Only then, .*: ALTER PUBLICATION "p" ADD TABLE "public"."b";$/);
});

test('every problem is found at once', () => {
  const all = findings({ facts: { walLevel: 'replica', mayReplicate: false, encoding: 'SQL_ASCII', maxSlotWalKeepSize: -1 }, tables: [table('a', { primaryKey: null })] });
  assert.deepEqual(all.map((finding) => finding.split(':')[0]), ['error wal-level', 'error server-encoding', 'warning wal-kept', 'error replication-right', 'error tables', 'warning replica-identity']);
});
