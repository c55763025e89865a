import { test } from 'node:test';
import { catalogue, type CatalogueEntry } from '../../src/runtime/error-catalogue.ts';
import { fillBlock, holdFile } from '../support/held-file.ts';

test('docs/errors.md has every error of the catalogue as it is', () => {
  const entries = Object.entries(catalogue).map(([code, entry]: [string, CatalogueEntry]) => `## ${code}\n\n${entry.meaning}\n\n${entry.remedy}\n\n*${entry.action}, exit code ${entry.exit}*`);
  holdFile('docs/errors.md', (page) => fillBlock(page, 'catalogue', entries.join('\n\n')));
});
