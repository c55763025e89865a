import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** The blocks of this language on a page of docs/, in order: what people copy is what a test runs. */
export function fencedBlocks(page: string, language: string): readonly string[] {
  const text = readFileSync(join(import.meta.dirname, '../../docs', page), 'utf8');
  return [...text.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\``, 'gms'))].map(([, block]) => block as string);
}

/** The one block of this language that has these words. */
export function fencedBlock(page: string, language: string, words = ''): string {
  const blocks = fencedBlocks(page, language).filter((block) => block.includes(words));
  assert.equal(blocks.length, 1, `docs/${page} has one block of ${language} with ${words}`);
  return blocks[0] as string;
}
