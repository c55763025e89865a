import type { Source } from '../source.ts';
import type { PostgresSourceConfig } from './config.ts';
import { PostgresSource, type PostgresSourceContext } from './postgres-source.ts';

export function createPostgresSource(config: PostgresSourceConfig, context: PostgresSourceContext): Source {
  return new PostgresSource(config, context);
}
