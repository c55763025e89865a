import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/**
 * Holds a page against what the code says. With TAILRACE_UPDATE_DOCS=1 in the environment the page is written anew instead;
 * the change then shows in the diff.
 */
export function holdFile(path: string, make: (current: string) => string): void {
  const file = fileURLToPath(new URL(`../../${path}`, import.meta.url));
  const current = read(file);
  const wanted = make(current);
  if (process.env['TAILRACE_UPDATE_DOCS'] === '1') writeFileSync(file, wanted);
  else assert.equal(current, wanted, `${path} is not what the code says; TAILRACE_UPDATE_DOCS=1 node --test writes it anew`);
}

/** Replaces what stands between `<!-- name -->` and `<!-- end -->`. */
export function fillBlock(page: string, name: string, text: string): string {
  const begin = `<!-- ${name} -->\n`;
  const from = page.indexOf(begin);
  const to = page.indexOf('<!-- end -->', from);
  assert.ok(from >= 0 && to > from, `the page has a block ${name}`);
  return `${page.slice(0, from + begin.length)}\n${text.trim()}\n\n${page.slice(to)}`;
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
