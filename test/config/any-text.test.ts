import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { parsePipeline } from '../../src/config/load.ts';
import { formatProblem, sourceFile } from '../../src/config/source-file.ts';

const right = `name: shop
source:
  type: postgres
  url: \${SOURCE}
  tables: { include: [public.*], exclude: [public.audit_*] }
log:
  type: embedded
  directory: ./data/shop
  retention: { age: 7d }
sinks:
  - name: local
    type: sqlite
    path: ./shop.sqlite
`;
const canary = 's3cr3tCANARY';
const environment = { SOURCE: `postgres://u:${canary}@h/d`, A: canary, NAME: canary };

/** No throw, a place for everything, and nothing of the environment in what is said. */
function holds(text: string): void {
  const { pipeline, problems } = parsePipeline(sourceFile('f.yaml', text), environment);
  assert.equal(pipeline === undefined, problems.length > 0);
  for (const problem of problems) {
    const told = formatProblem(problem);
    assert.ok(problem.line >= 1 && problem.column >= 1, told);
    assert.ok(!told.includes(canary), told);
  }
}

const piece = fc.constantFrom('name', 'source', ': ', ':', '\n', '\n  ', '- ', '[', ']', '{', '}', '"', "'", '&a ', '*a', '|', '>', '#', '!!', '!x ', '? ', '---\n', '\t', '${A}', '${', '$$', '<<', '__proto__', 'null', '1e999', '.nan', '0x1', '\0', '\u{1f600}', '\ud800', '%', '@', ',');

describe('any text', () => {
  test('gives a config or problems with places, and never an exception', () => {
    fc.assert(fc.property(fc.array(fc.oneof(piece, fc.string({ maxLength: 5 }))), (pieces) => holds(pieces.join(''))), { numRuns: 500 });
  });

  test('so does a right file with a piece put in, or a part cut out', () => {
    const place = fc.nat({ max: right.length });
    fc.assert(fc.property(place, piece, (at, text) => holds(right.slice(0, at) + text + right.slice(at))), { numRuns: 500 });
    fc.assert(fc.property(place, fc.nat({ max: 30 }), (at, length) => holds(right.slice(0, at) + right.slice(at + length))), { numRuns: 500 });
  });

  test('so does any JSON, which is YAML', () => {
    fc.assert(fc.property(fc.json({ maxDepth: 6 }), (json) => holds(json)), { numRuns: 300 });
  });
});
