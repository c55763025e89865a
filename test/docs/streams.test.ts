import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { loadStreamModule } from '../../src/stream/stream-module.ts';
import { fillBlock, holdFile } from '../support/held-file.ts';

const at = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const block = (language: string, path: string): string => `\`\`\`${language}\n${readFileSync(at(path), 'utf8').trim()}\n\`\`\``;

test('docs/streams.md shows the examples as they are in connectors/', () => {
  const blocks = { sales: block('ts', 'connectors/streams/sales.ts'), analytics: block('yaml', 'connectors/analytics.yaml'), repeats: block('ts', 'connectors/streams/repeats.ts'), leaders: block('ts', 'connectors/streams/leaders.ts'), cache: block('yaml', 'connectors/cache.yaml') };
  holdFile('docs/streams.md', (page) => Object.entries(blocks).reduce((filled, [name, text]) => fillBlock(filled, name, text), page));
});

for (const name of readdirSync(at('connectors/streams'))) {
  test(`the example ${name} is a stream, and another fingerprint than any other`, async () => {
    const { definition, fingerprint } = await loadStreamModule(at(`connectors/streams/${name}`));
    assert.ok(definition.plan.operators.some((operator) => operator.kind === 'output'));
    assert.match(fingerprint, /^[0-9a-f]{64}$/);
  });
}

test('docs/streams.md names every word that a module can import, and each type of column', async () => {
  const page = readFileSync(at('docs/streams.md'), 'utf8');
  const { columnTypes } = await import('../../src/stream/output-types.ts');
  const words = Object.keys(await import('../../src/stream/api.ts'));
  const unnamed = [...words, ...columnTypes].filter((word) => !new RegExp(`\\b${word}\\b`).test(page));
  assert.deepEqual(unnamed, []);
});
