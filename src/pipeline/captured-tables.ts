import { tableName, type TableSchema, type TableShape, type TableState } from '../event/table.ts';
import type { CatalogLook, CatalogReader, Doubt, KnownTable, TableLook } from '../source/catalog.ts';
import type { Logger } from '../runtime/logger.ts';
import type { LookRecord, PartitionRecord, Place, SchemaTopicRecord, ShapePart, SnapshotRecord, StartRecord } from './control-records.ts';
import { firstJob } from './copy-jobs.ts';
import type { CopyRecords } from './copy-records.ts';
import type { CopyJob } from './copy.ts';
import type { Target } from './event-encoder.ts';
import type { Group } from './group.ts';
import { copyKey, noRelation } from './log-state.ts';
import type { SchemaVersions } from './schema-versions.ts';
import { noCopy } from './settled-copies.ts';
import type { Targets } from './targets.ts';

export interface CapturedTablesOptions {
  readonly tables: readonly TableShape[];
  readonly versions: SchemaVersions;
  readonly targets: Targets;
  readonly logger: Logger;
  /** With `never`, rows that the stream does not bring are not brought otherwise either. */
  readonly snapshot: 'initial' | 'never';
  readonly start: StartRecord;
  readonly copies: CopyRecords;
  /** Of the transaction that is being streamed. */
  readonly place: () => Place;
  /** Adds a record for `schema` to the group that is being filled. */
  readonly record: (record: SchemaTopicRecord) => void;
  readonly copy: (job: CopyJob) => void;
  /** A table that is gone is copied no more: what such a copy began would take its name from the table that has it now. */
  readonly left: (relid: number) => void;
  readonly catalog: Pick<CatalogReader, 'nudge' | 'find'>;
}

/**
 * The captured tables as the stream has got to: where the events of each go, under which version, and what was last looked at
 * in the catalog. It decides what a new shape, a name that went to another table, and a doubt about rows come to.
 */
export class CapturedTables {
  readonly #options: CapturedTablesOptions;
  readonly #tables = new Map<number, TableShape>();
  readonly #truncated = new Set<number>();
  /** Their first copy begins behind the first look at them: what a copy has read, and has gone before anybody looked, is told by nothing. */
  readonly #toCopy = new Set<number>();
  /** Tables that the log has and that are not captured: by the configuration, or because they are gone, which the next look tells. */
  readonly #missed = new Map<number, TableShape>();
  #voided = 0;
  #shapes: ShapePart[] = [];
  #looks: LookRecord[] = [];
  /** With the END of their transaction in a group that is not durable yet. */
  readonly #unconfirmed: { readonly group: Group; readonly looks: readonly LookRecord[] }[] = [];

  constructor(options: CapturedTablesOptions) {
    this.#options = options;
    for (const table of options.tables) this.#tables.set(table.relid, table);
    const { versions } = options;
    for (const table of versions.current()) if (!this.#tables.has(table.relid) && !versions.isGone(table.relid)) this.#missed.set(table.relid, table);
  }

  /** Tables that have come later: what is in them is copied, as of those that were there from the beginning. */
  add(tables: readonly TableShape[]): void {
    const { snapshot, versions, catalog, copy, copies } = this.#options;
    for (const table of tables) if (!this.#tables.has(table.relid)) this.#tables.set(table.relid, table);
    for (const table of snapshot === 'never' ? [] : tables) {
      if (versions.looked(table.relid) === undefined) this.#toCopy.add(table.relid);
      else copy(firstJob(table, copies.copies));
    }
    catalog.nudge();
  }

  /** What of the tables was last looked at. */
  looked(): readonly KnownTable[] {
    const missed = [...this.#missed.values()].filter(({ relid }) => !this.#tables.has(relid));
    return [...this.#tables.values(), ...missed].map((table) => {
      const look = this.#options.versions.looked(table.relid);
      const state = look?.state ?? null;
      const { relid } = table;
      return { shape: look?.schema ?? table, state, uncertain: this.#isUncertain(relid), truncated: this.#truncated.has(relid), unsettled: [...this.#options.versions.unsettled(relid)] };
    });
  }

  #isUncertain(relid: number): boolean {
    const { versions } = this.#options;
    return versions.looked(relid)?.uncertain ?? versions.currentOf(relid)?.columns.some((column) => column.attnum === null) ?? false;
  }

  /** What the log has of the tables where the stream begins. */
  logged(): readonly KnownTable[] {
    return this.looked().flatMap((known) => {
      const shape = this.#options.versions.currentOf(known.shape.relid);
      return shape === undefined ? [] : [{ ...known, shape }];
    });
  }

  /** What the stream has made of a table by now. */
  now(table: TableShape): TableShape {
    return this.#tables.get(table.relid) ?? table;
  }

  truncated(shape: TableShape): void {
    this.#truncated.add(shape.relid);
  }

  /** What the END that now goes into the group says of shapes; where it says nothing there may be no END. */
  ended(group: Group): readonly ShapePart[] {
    const shapes = this.#shapes;
    if (shapes.length > 0) this.#shapes = [];
    if (this.#looks.length > 0) this.#unconfirmed.push({ group, looks: this.#looks });
    if (this.#looks.length > 0) this.#looks = [];
    return shapes;
  }

  /**
   * Looks that are over and done with once this group is durable: until then they are made again after a crash. Their records are written
   * now, and settle nothing that was met since.
   */
  confirmed(group: Group): readonly LookRecord[] {
    const count = this.#unconfirmed.findIndex((each) => each.group !== group);
    const looks = this.#unconfirmed.splice(0, count < 0 ? this.#unconfirmed.length : count).flatMap((each) => each.looks);
    return looks.map((look) => ({ ...look, settled: look.settled?.filter((partition) => !this.#options.versions.unsettled(look.relid).has(String(partition))) }));
  }

  /** The stream has come to a shape that was not met before. */
  async meet(shape: TableShape): Promise<Target> {
    const { target, isNew } = await this.#prepare(shape);
    if (isNew) this.#options.catalog.nudge();
    return target;
  }

  /**
   * The stream, or a copy, brings rows of a partition. One that the last look has found needs no record: should it go, the next look misses it.
   * So it is after a crash where that look stands in the log.
   */
  partition({ relid }: TableShape, partition: string): void {
    const { versions, catalog, record } = this.#options;
    const look = versions.looked(relid);
    const found = look === undefined ? null : catalog.find(look.state, partition);
    const met: PartitionRecord = { type: 'partition', relid, partition: found ?? partition };
    if ((found !== null && this.#isLogged(relid)) || versions.unsettled(relid).has(found ?? partition)) return;
    versions.meet(met);
    record(met);
    catalog.nudge();
  }

  /** Whether the last look at the table stands in the log. */
  #isLogged(relid: number): boolean {
    return ![this.#looks, ...this.#unconfirmed.map((each) => each.looks)].some((looks) => looks.some((look) => look.relid === relid));
  }

  /** Partitions that events have rows of and that are not in the table by this state of it. */
  #lacking(relid: number, state: TableState): readonly string[] {
    return [...this.#options.versions.unsettled(relid)].filter((partition) => this.#options.catalog.find(state, partition) === null);
  }

  /** At the commit of a look's watermark: these are the tables from here on. */
  async takeLook({ tables, gone }: Pick<CatalogLook, 'tables' | 'gone'>): Promise<void> {
    const { versions, copy, copies } = this.#options;
    for (const relid of gone) this.#leave(relid);
    for (const table of tables) {
      const { shape, state } = table;
      const settled = [...new Set([...table.settled, ...this.#lacking(shape.relid, state)])];
      // It is still there: the configuration leaves it out.
      if (this.#missed.delete(shape.relid) && !this.#tables.has(shape.relid)) continue;
      const doubt = this.#doubtOf(table);
      const { target, isNew } = await this.#prepare(shape);
      const { schema } = target;
      const isDoubtful = doubt !== null && this.#copyAgain(schema, doubt);
      if (isNew || isDoubtful) this.#say(schema, isDoubtful);
      if (this.#toCopy.delete(shape.relid) && !isDoubtful) copy(firstJob(schema, copies.copies));
      const look: LookRecord = { type: 'look', relid: shape.relid, version: schema.version, state, settled: settled.length === 0 ? undefined : settled };
      versions.look(look);
      this.#looks.push(look);
      this.#truncated.delete(shape.relid);
      this.#options.targets.relabel(target);
    }
  }

  /** What the look has found, and what the stream has brought until it is taken in. */
  #doubtOf({ shape, state, doubt }: TableLook): Doubt | null {
    if (this.#isUncertain(shape.relid)) return { reason: doubt?.reason ?? 'which of its columns rows were written for could not be told', surplus: true };
    if (this.#lacking(shape.relid, state).length > 0) return { reason: doubt?.reason ?? 'a partition came and went, and its rows without an event', surplus: true };
    return doubt;
  }

  /** A table that was dropped. What replicas lack of it comes by no copy any more, and they need to know (renewal.ts). */
  #leave(relid: number): void {
    const { versions, logger } = this.#options;
    const table = versions.currentOf(relid);
    this.#tables.delete(relid);
    this.#missed.delete(relid);
    this.#truncated.delete(relid);
    this.#toCopy.delete(relid);
    this.#options.left(relid);
    if (table === undefined) return;
    const look: LookRecord = { type: 'look', relid, version: table.version, state: null };
    versions.look(look);
    this.#looks.push(look);
    const isReplaced = [...this.#tables.values()].some((other) => tableName(other) === tableName(table));
    if (!isReplaced) logger.warn({ table: tableName(table) }, 'a table was dropped at the source: replicas keep it as it was last; drop it there too if nobody needs it');
  }

  /** The END of the transaction that is under way says that the table is there, whether it has rows for it or not. */
  announce(schema: TableSchema): void {
    this.#say(schema, false);
  }

  async #prepare(shape: TableShape): Promise<{ readonly target: Target; readonly isNew: boolean }> {
    const { targets, versions } = this.#options;
    const owner = versions.named(shape);
    const { target, isNew, before } = await targets.make(shape);
    this.#tables.set(shape.relid, shape);
    const isRenamed = before !== undefined && tableName(before) !== tableName(shape);
    const isReplaced = owner !== undefined && owner.relid !== shape.relid;
    if (isNew && (isRenamed || isReplaced)) this.#beginName(target.schema, { isReplaced });
    return { target, isNew };
  }

  /**
   * A topic follows a name: under it begins another table now, with a copy of its own. It empties the table first: a sink that comes
   * later passes over what the name had before the copy, a truncate of the table under its new name among it.
   */
  #beginName(schema: TableSchema, { isReplaced }: { readonly isReplaced: boolean }): void {
    const { copy, logger } = this.#options;
    logger.info({ table: tableName(schema), relid: schema.relid }, isReplaced ? 'the name has gone to another table' : 'a table has another name');
    this.#say(schema, true);
    if (!this.#isCopied(schema)) return;
    this.#void(schema);
    copy({ table: schema, sink: null, ask: null, resume: null, replaces: true });
  }

  /** Whether the table is copied again, for rows that no event has brought. */
  #copyAgain(schema: TableSchema, { reason, surplus }: NonNullable<TableLook['doubt']>): boolean {
    const { copy, logger } = this.#options;
    const table = tableName(schema);
    if (!this.#isCopied(schema)) {
      logger.warn({ table, reason }, 'rows of a table may have changed without an event; with snapshot: never they are not copied');
      return false;
    }
    logger.info({ table, reason }, 'rows of a table may have changed without an event: it is copied again');
    this.#void(schema);
    copy({ table: schema, sink: null, ask: null, resume: null, replaces: surplus });
    return true;
  }

  /** Whether rows that no event brings are brought by a copy: with `never` those of a table that was copied by command. */
  #isCopied(schema: TableSchema): boolean {
    return this.#options.snapshot === 'initial' || this.#options.copies.copies.has(copyKey(tableName(schema), null));
  }

  /**
   * Its copy counts no longer, and a crash before the next one begins must not let it count again. Under a name that had none yet a
   * void one says that there may be rows to be taken away.
   */
  #void(schema: TableSchema): void {
    const { copies, record, start, place } = this.#options;
    const before = copies.copies.get(copyKey(tableName(schema), null)) ?? noCopy(tableName(schema));
    const voided: SnapshotRecord = { ...before, id: `${start.startId}:void:${++this.#voided}`, relid: noRelation, confirmed: true, place: place() };
    copies.void(voided);
    record(voided);
  }

  /** What counts is what the table is in the end: its earlier versions in this transaction, and whoever had its name, are past. */
  #say(schema: TableSchema, doubtful: boolean): void {
    const table = tableName(schema);
    const wasDoubtful = this.#shapes.some((part) => part.table === table && part.doubtful);
    const rest = this.#shapes.filter((part) => part.table !== table && this.#options.versions.get(part.version)?.relid !== schema.relid);
    this.#shapes = [...rest, { table, version: schema.version, doubtful: doubtful || wasDoubtful }];
  }
}
