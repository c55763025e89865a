import type { Codec } from '../codec/codec.ts';
import type { LogWriter } from '../log/log.ts';
import type { Logger } from '../runtime/logger.ts';
import type { SourceSession } from '../source/source.ts';
import type { EndRecord, SnapshotRecord, StartRecord } from './control-records.ts';
import type { CopyOrders } from './copy-orders.ts';
import type { SchemaVersions } from './schema-versions.ts';
import type { TopicNames } from './topics.ts';
import type { StartGuard } from './start-guard.ts';
import type { Turnstile } from './turnstile.ts';

/** What a `PublishingSession` is given: one connection's stream, where it goes, and what the log holds so far. */
export interface PublishingOptions {
  readonly session: SourceSession;
  readonly writer: LogWriter;
  readonly turns: Turnstile;
  readonly topics: TopicNames;
  readonly codec: Codec;
  readonly pipeline: string;
  readonly start: StartRecord;
  /** Where START stands in the `transaction` topic. */
  readonly startOffset: number;
  readonly guard: StartGuard;
  /** The END that the stream continues behind. */
  readonly end: EndRecord;
  readonly versions: SchemaVersions;
  readonly copies: ReadonlyMap<string, SnapshotRecord>;
  /** Whether tables that come later are copied. */
  readonly snapshot: 'initial' | 'never';
  /** What commands have asked of the copies. */
  readonly orders: CopyOrders;
  /** How many chunks are read at a time. */
  readonly copyParallel: number;
  readonly logger: Logger;
  readonly signal: AbortSignal;
}
