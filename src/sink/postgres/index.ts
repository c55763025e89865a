import type { PostgresSinkConfig } from './config.ts';
import { PostgresSink, type PostgresSinkContext } from './sink.ts';

export function createPostgresSink(config: PostgresSinkConfig, context: PostgresSinkContext): PostgresSink {
  return new PostgresSink(config, context);
}
