import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { loadPipelines } from '../../src/config/load.ts';
import { formatProblem } from '../../src/config/source-file.ts';

const folder = fileURLToPath(new URL('../../connectors/', import.meta.url));

describe('the connectors that come with the project', () => {
  for (const name of readdirSync(folder).filter((each) => each.endsWith('.yaml'))) {
    test(`${name} runs as it is, with nothing set in the environment`, () => {
      const { pipelines, problems } = loadPipelines([join(folder, name)], {});
      assert.deepEqual(problems.map(formatProblem), []);
      assert.equal(pipelines[0]?.config.name, name.replace(/\.yaml$/, ''));
    });
    test(`${name} tells editors its schema`, () => {
      const [first] = readFileSync(join(folder, name), 'utf8').split('\n');
      assert.equal(first, '# yaml-language-server: $schema=../docs/tailrace.schema.json');
    });
  }
  test('they can all run together', () => assert.deepEqual(loadPipelines([folder], {}).problems, []));
});
