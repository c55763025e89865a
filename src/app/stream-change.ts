import type { PipelineConfig } from '../config/pipeline-schema.ts';
import { createLog } from '../registry.ts';
import { TailraceError } from '../runtime/errors.ts';
import type { Logger } from '../runtime/logger.ts';
import { changeSpread } from './spread-change.ts';
import { isSpread } from './spread-streams.ts';
import { loadStream, noOutputs } from './streams.ts';

/**
 * Forgets what a stream has computed, or takes its module as it is now for the one that the state was made with. Needs the log for
 * itself, so that no daemon is at work on the state: throws `log-locked` while one runs.
 */
export async function changeStream(config: PipelineConfig, name: string, of: { readonly change: 'reset' | 'keep'; readonly logger: Logger }): Promise<void> {
  const own = config.streams.find((stream) => stream.name === name);
  if (own === undefined) throw new TailraceError('internal', `there is no stream ${name}`);
  if (isSpread(own)) return changeSpread(config, own, of);
  const { sink } = await loadStream(config, own, noOutputs);
  const writer = await (await createLog(config.log, { pipeline: config.name, logger: of.logger })).openWriter();
  try {
    await (of.change === 'reset' ? sink.forget() : sink.keep());
  } finally {
    await writer.close();
  }
}
