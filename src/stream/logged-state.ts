import { createReadStream, existsSync, mkdirSync, openSync, closeSync, rmSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { backup, DatabaseSync, type Session, type StatementSync } from 'node:sqlite';
import { tupleOf } from '../event/tuple.ts';
import { TailraceError } from '../runtime/errors.ts';
import { failpoint } from '../runtime/failpoint.ts';
import type { ResultStep } from './outputs.ts';
import { lastingTables, State } from './state.ts';
import type { StateLog, StatePiece, StateShapes } from './state-log.ts';

const pieceBytes = 512 << 10;
/** Rows that are handed to the log at a time. */
const rowsAtATime = 2000;
const markKey = 'log';
/** More workers than this do not share a folder for their files. */
const mostFiles = 64;

const temporary = `
CREATE TEMP TABLE changed (seq INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT;
CREATE TEMP TABLE given (seq INTEGER PRIMARY KEY, at TEXT NOT NULL, operator INTEGER NOT NULL, times INTEGER NOT NULL, item TEXT NOT NULL) STRICT`;

export interface LoggedStateOptions {
  /** The file of it; another process on this machine may have it, then one beside it is taken. */
  readonly path: string;
  readonly log: StateLog;
  readonly shapes: StateShapes;
}

/**
 * The state of a task that any worker may take up: it lasts in the log, and the file here is a copy. What a step changes in the file goes to the log
 * in the step's one transaction there, and the file follows; one that the log does not know as it is, is made anew.
 */
export class LoggedState {
  readonly state: State;
  readonly #options: LoggedStateOptions;
  readonly #lock: DatabaseSync;
  readonly #putChanged: StatementSync;
  readonly #putGiven: StatementSync;
  #sessions: Session[] = [];

  private constructor(options: LoggedStateOptions, state: State, lock: DatabaseSync) {
    this.#options = options;
    this.state = state;
    this.#lock = lock;
    state.db.exec(temporary);
    this.#putChanged = state.db.prepare('INSERT INTO temp.changed (bytes) VALUES (?)');
    this.#putGiven = state.db.prepare('INSERT INTO temp.given (at, operator, times, item) VALUES (?, ?, ?, ?)');
  }

  static async open(options: LoggedStateOptions): Promise<LoggedState> {
    mkdirSync(dirname(options.path), { recursive: true, mode: 0o700 });
    const { path, lock } = lockFile(options.path);
    try {
      return new LoggedState(options, await restored(path, options.log), lock);
    } catch (error) {
      lock.close();
      throw error;
    }
  }

  begin(): void {
    this.state.db.exec('BEGIN IMMEDIATE');
    this.#sessions = lastingTables.map((table) => this.state.db.createSession({ table }));
  }

  /** What was changed until now goes out of memory. */
  cut(): void {
    const { db } = this.state;
    for (const session of this.#sessions) {
      const bytes = session.patchset();
      session.close();
      for (let at = 0; at < bytes.length; at += pieceBytes) this.#putChanged.run(this.#options.shapes.piece(bytes.subarray(at, at + pieceBytes), at + pieceBytes >= bytes.length));
    }
    this.#sessions = lastingTables.map((table) => db.createSession({ table }));
  }

  /** A row that leaves the task with this step. */
  give(at: string, row: { readonly operator: number; readonly times: number; readonly item: string }): void {
    this.#putGiven.run(at, row.operator, row.times, row.item);
  }

  /** Resolves when the step is durable, and its rows are given with it. */
  async commit(step: ResultStep): Promise<void> {
    const { log, shapes } = this.#options;
    const { db } = this.state;
    this.state.setMeta(markKey, log.begin(step));
    this.cut();
    for (const session of this.#sessions.splice(0)) session.close();
    const given = db.prepare('SELECT seq, at, operator, times, item FROM temp.given WHERE seq > ? ORDER BY seq LIMIT ?');
    for (let seq = 0; ;) {
      const rows = given.all(seq, rowsAtATime) as { seq: number; at: string; operator: number; times: number; item: string }[];
      if (rows.length === 0) break;
      await log.publish(rows.map(({ at, operator, times, item }) => ({ shape: shapes.rows, tuple: tupleOf([at, String(operator), String(times), item]) })), false);
      seq = (rows.at(-1) as { seq: number }).seq;
    }
    failpoint('stream.rows_given');
    // The position has changed, so there is a last piece.
    const changed = db.prepare('SELECT seq, bytes FROM temp.changed WHERE seq > ? ORDER BY seq LIMIT 2');
    for (let seq = 0; ;) {
      const [piece, next] = changed.all(seq) as { seq: number; bytes: Uint8Array }[];
      if (piece === undefined) break;
      await log.publish([{ shape: shapes.pieces, tuple: piece.bytes }], next === undefined);
      seq = piece.seq;
    }
    failpoint('stream.state_durable');
    db.exec('DELETE FROM temp.changed; DELETE FROM temp.given; COMMIT');
  }

  abort(): void {
    for (const session of this.#sessions.splice(0)) session.close();
    if (this.state.db.isTransaction) this.state.db.exec('ROLLBACK');
  }

  /** Between two steps: writes the state whole where that is due. */
  async settle(): Promise<void> {
    const { log, shapes } = this.#options;
    if (!log.isLong) return;
    const path = `${this.#options.path}.${process.pid}.whole`;
    try {
      await backup(this.state.db, path);
      let held: Buffer | null = null;
      for await (const chunk of createReadStream(path, { highWaterMark: pieceBytes })) {
        if (held !== null) await log.publishWhole([shapes.piece(held, false)], false);
        held = chunk as Buffer;
      }
      await log.publishWhole([shapes.piece(held ?? Buffer.alloc(0), true)], true);
    } finally {
      rmSync(path, { force: true });
    }
  }

  async close(): Promise<void> {
    this.abort();
    this.state.close();
    this.#lock.close();
    await this.#options.log.close();
  }
}

/** The first file of its kind that no other process has. The kernel frees a lock however its holder dies. */
function lockFile(path: string): { readonly path: string; readonly lock: DatabaseSync } {
  for (let i = 0; i < mostFiles; i++) {
    const own = i === 0 ? path : `${path}.${i}`;
    const lock = new DatabaseSync(`${own}.lock`);
    try {
      lock.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
      return { path: own, lock };
    } catch (error) {
      lock.close();
      if (!(error instanceof Error && 'errcode' in error && error.errcode === 5)) throw error;
    }
  }
  throw new TailraceError('internal', `${path} and ${mostFiles} files beside it are in use`);
}

async function restored(path: string, log: StateLog): Promise<State> {
  return (await continued(path, log)) ?? made(path, log);
}

/** The file that is there, with what the log has since; null where it cannot be used. */
async function continued(path: string, log: StateLog): Promise<State | null> {
  if (!existsSync(path)) return null;
  let state: State | null = null;
  try {
    state = new State(path, { isCopy: true });
    const mark = state.meta(markKey);
    const lacking = mark === null ? undefined : log.since(mark);
    if (lacking !== undefined) {
      await applied(state, lacking);
      return state;
    }
  } catch (error) {
    // Damaged, or another than it says: it is a copy, and made anew.
    if (error instanceof TailraceError && error.code !== 'log-damaged') throw error;
  }
  state?.close();
  return null;
}

async function made(path: string, log: StateLog): Promise<State> {
  for (const suffix of ['', '-wal', '-shm']) rmSync(`${path}${suffix}`, { force: true });
  const pieces = log.since(null)?.[Symbol.asyncIterator]();
  let first = await pieces?.next();
  if (first?.done === false && first.value.kind === 'whole') {
    const file = openSync(path, 'w', 0o600);
    while (first?.done === false && first.value.kind === 'whole') {
      writeSync(file, first.value.bytes);
      first = await pieces?.next();
    }
    closeSync(file);
  }
  const state = new State(path, { isCopy: true });
  try {
    await applied(state, (async function* () {
      for (let next = first; next?.done === false; next = await pieces?.next()) yield next.value;
    })());
    if (log.last !== null) state.setMeta(markKey, log.last);
    return state;
  } catch (error) {
    state.close();
    throw error;
  }
}

/** All of them or, where this is cut off, none. A change is applied once all of its parts are there. */
async function applied(state: State, pieces: AsyncIterable<StatePiece>): Promise<void> {
  const parts: Uint8Array[] = [];
  state.db.exec('BEGIN IMMEDIATE');
  for await (const { last, bytes } of pieces) {
    parts.push(bytes);
    if (last && !state.db.applyChangeset(Buffer.concat(parts.splice(0)))) throw new TailraceError('log-damaged', "a change of a stream's state does not fit what is before it");
  }
  state.db.exec('COMMIT');
}
