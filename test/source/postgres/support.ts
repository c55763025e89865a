import type { SourceItem } from '../../../src/event/change.ts';
import { tupleTexts } from '../../../src/event/tuple.ts';
import { tableName } from '../../../src/event/table.ts';
import { silentLogger } from '../../../src/runtime/logger.ts';
import { postgresSourceConfig } from '../../../src/source/postgres/config.ts';
import { PostgresSource, type PostgresSourceContext } from '../../../src/source/postgres/postgres-source.ts';
import type { SourceSession } from '../../../src/source/source.ts';
import { randomBytes } from 'node:crypto';
import type { Scope } from '../../support/postgres.ts';

export interface SourceOptions extends Partial<PostgresSourceContext> {
  readonly config?: Readonly<Record<string, unknown>>;
}

/** A source on a database, with a pipeline name of its own, so that tests on one server have slots of their own. */
export function sourceOn(url: string, options: SourceOptions = {}): PostgresSource {
  const config = postgresSourceConfig.parse({ url, messages: ['*'], ...options.config });
  return new PostgresSource(config, { pipeline: `t-${randomBytes(5).toString('hex')}`, logger: silentLogger, ...options });
}

export async function connected(source: PostgresSource, scope: Scope): Promise<SourceSession> {
  const session = await source.connect({ signal: new AbortController().signal });
  scope.after(() => session.close());
  return session;
}

/** Collects what a session brings, from now on. */
export class Tail {
  readonly items: SourceItem[] = [];
  error: unknown = null;
  ended = false;
  readonly done: Promise<void>;

  constructor(session: SourceSession) {
    this.done = this.#run(session);
  }

  async #run(session: SourceSession): Promise<void> {
    try {
      for await (const batch of session.batches()) this.items.push(...batch);
    } catch (error) {
      this.error = error;
    }
    this.ended = true;
  }

  get rows(): string[] {
    return this.items.flatMap((item) => describeRow(item) ?? []);
  }

  commits(): (SourceItem & { op: 'commit' })[] {
    return this.items.filter((item) => item.op === 'commit');
  }
}

/** `c public.t 0: 1 a` · `u public.t 1: [key 1 ~] 2 a` · `d …`; NULL is ∅, absent is ~. */
export function describeRow(item: SourceItem): string | null {
  if (item.op === 'begin' || item.op === 'commit' || item.op === 'partition' || item.op === 'keepalive') return null;
  if (item.op === 'm') return `m ${item.ordinal} ${item.prefix}: ${Buffer.from(item.content).toString()}`;
  if (item.op === 't') {
    return `t ${item.ordinal} ${item.tables.map(tableName).join(' ')}${item.cascade ? ' cascade' : ''}${item.restartIdentity ? ' restart' : ''}`;
  }
  const texts = (at: number): string => tupleTexts(item.bytes, at).map((text) => (text === null ? '∅' : (text ?? '~'))).join(' ');
  const old = item.oldAt < 0 ? '' : ` [${item.oldKind} ${texts(item.oldAt)}]`;
  return `${item.op} ${item.ordinal} ${tableName(item.table)}:${old}${item.newAt < 0 ? '' : ` ${texts(item.newAt)}`}`;
}
