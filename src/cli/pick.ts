import type { LoadedPipeline } from '../config/load.ts';
import type { PipelineConfig } from '../config/pipeline-schema.ts';
import { didYouMean } from '../runtime/did-you-mean.ts';
import { TailraceError } from '../runtime/errors.ts';
import { shortened } from '../runtime/printable.ts';
import type { Terminal } from './terminal.ts';

/** The one pipeline that a command is about. */
export function pickPipeline(pipelines: readonly LoadedPipeline[], name: string | undefined): PipelineConfig {
  const names = pipelines.map(({ config }) => config.name);
  if (name === undefined && pipelines.length > 1) throw new TailraceError('usage', `there are several pipelines: ${names.join(', ')}`, { remedy: 'name its file, or add --pipeline NAME' });
  const found = pipelines.find(({ config }) => name === undefined || config.name === name);
  if (found !== undefined) return found.config;
  const near = didYouMean(name ?? '', names);
  throw new TailraceError('usage', `there is no pipeline ${shortened(name ?? '', 60)}${near === undefined ? '' : `, did you mean ${near}?`}`, { remedy: `there are ${names.join(', ')}` });
}

/** Asks for a word to be typed, because Enter is pressed too easily. Throws where there is nobody to ask. */
export async function confirmed(terminal: Terminal, { question, word, yes }: { question: string; word: string; yes: boolean }): Promise<boolean> {
  if (yes) return true;
  const answer = await terminal.ask(`${question}\nType ${word} to go on: `);
  if (answer === null) throw new TailraceError('usage', 'this needs to be confirmed, and there is no terminal to ask on', { remedy: 'add --yes' });
  if (answer.trim() === word) return true;
  terminal.err('nothing was done');
  return false;
}
