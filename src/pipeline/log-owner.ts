import { TailraceError } from '../runtime/errors.ts';
import type { Logger } from '../runtime/logger.ts';
import type { SourceServer } from '../source/source.ts';
import type { StartRecord } from './control-records.ts';
import { topicNames } from './topics.ts';

/**
 * A log of our own holds one pipeline. Under another name it would be begun anew: every table copied again, and the slot of the old name
 * left behind at the source, where it keeps WAL for nobody until the disk is full. Where several pipelines share brokers this tells nothing.
 */
export function refuseForeignLog(pipeline: string, topics: readonly { readonly topic: string }[]): void {
  const names = new Set(topics.map(({ topic }) => topic));
  if (names.has(topicNames(pipeline).transaction)) return;
  const owner = [...names].find((topic) => /^[^.]+\.transaction$/.test(topic))?.split('.')[0];
  if (owner === undefined) return;
  throw new TailraceError('log-of-another', `the log in this directory is that of the pipeline ${owner}, and this pipeline is ${pipeline}`, {
    remedy: `Give ${pipeline} a directory of its own; or, if ${owner} was renamed, take its name back. To give ${owner} up, run tailrace teardown on its file, or else its slot keeps WAL at the source.`,
  });
}

/** Whether there is a gap is another matter (`findGap`). */
export function tellFormerSlot(before: StartRecord | null, { slot }: SourceServer, logger: Logger): void {
  if (before === null || before.slot === slot) return;
  logger.warn({ slot, before: before.slot }, 'the log was written from another slot: the source keeps WAL for that one as long as it is there');
}
