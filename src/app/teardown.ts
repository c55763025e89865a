import type { PipelineConfig } from '../config/pipeline-schema.ts';
import { createSource } from '../registry.ts';
import type { Logger } from '../runtime/logger.ts';

/** Drops the slot and publication that Tailrace made; what was dropped, in words. */
export async function teardownSource(config: PipelineConfig, logger: Logger): Promise<readonly string[]> {
  return (await createSource(config.source, { pipeline: config.name, logger })).teardown();
}
