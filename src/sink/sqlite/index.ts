import type { Logger } from '../../runtime/logger.ts';
import type { DdlPolicy, Sink } from '../sink.ts';
import type { SqliteSinkConfig } from './config.ts';
import { SqliteSink } from './sqlite-sink.ts';

export interface SqliteSinkContext {
  readonly pipeline: string;
  readonly sink: string;
  readonly logger: Logger;
  readonly ddl: DdlPolicy;
}

export function createSqliteSink(config: SqliteSinkConfig, { pipeline, sink, logger, ddl }: SqliteSinkContext): Sink {
  const leaveOut = Object.fromEntries(Object.entries(config.columns).map(([table, { exclude }]) => [table, exclude]));
  return new SqliteSink({
    path: config.path,
    busyTimeout: config.busy_timeout,
    placement: { rename: config.rename, leaveOut },
    // Neither name has a dot.
    sink: `${pipeline}.${sink}`,
    logger,
    ddl,
  });
}
