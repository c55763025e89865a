import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { runOfUser } from '../../src/stream/stream-session.ts';
import { loadStreamModule } from '../../src/stream/stream-module.ts';
import { TailraceError } from '../../src/runtime/errors.ts';
import { tempDirectory } from '../support/temp.ts';

const begin = "import { stream } from 'tailrace';\n";

for (const [title, files, says] of [
  ['what does not parse', { 's.ts': `${begin}export default stream(({ table }) => {\n  table('public.a' .to('x');\n});\n` }, /s\.ts cannot be loaded: .+ \(at \/.+\/s\.ts:3:\d+\)$/],
  ['JavaScript that does not parse', { 's.mjs': "import './other.mjs';\n", 'other.mjs': 'const a = 1;\nconst b = ;\n' }, /s\.mjs cannot be loaded: .+ \(in \/.+\/other\.mjs\)$/],
  ['TypeScript that is more than types', { 's.ts': `${begin}enum A { x }\nexport default stream(() => {});\n` }, /enum .+ \(at \/.+\/s\.ts:2:1\)$/],
  ['what does not parse in a module that it imports', { 's.ts': `${begin}import { a } from './other.ts';\nexport default stream(() => a);\n`, 'other.ts': 'export function a(): number {\n  return 1;\n}\nconst b = ;\n' }, /s\.ts cannot be loaded: .+ \(at \/.+\/other\.ts:4:11\)$/],
  ['a word that there is not', { 's.ts': "import { strem } from 'tailrace';\nexport default strem(() => {});\n" }, /an export named 'strem' \(at \/.+\/s\.ts:1:10\)$/],
  ['what throws when it is loaded', { 's.ts': `${begin}const nothing: any = undefined;\nexport default stream(() => nothing.at.all);\n` }, /'at'\) \(at \/.+\/s\.ts:3:37\)$/],
  ['what this program refuses', { 's.ts': `${begin}export default stream(({ table }) => {\n  table('orders');\n});\n` }, /"orders": a table is named schema\.table \(at \/.+\/s\.ts:3:3\)$/],
  ['a module that imports what is not there', { 's.ts': `${begin}import { a } from './gone.ts';\nexport default stream(() => a);\n` }, /Cannot find module '\/.+\/gone\.ts' imported from \/.+\/s\.ts$/],
  ['a module that is not there', { 'other.ts': '' }, /^the module .+s\.ts is not there$/],
] as const) {
  test(`${title} is said, with its place`, async (t) => {
    const directory = await tempDirectory(t);
    for (const [name, text] of Object.entries(files)) await writeFile(join(directory, name), text);
    const path = join(directory, 's.mjs' in files ? 's.mjs' : 's.ts');
    await assert.rejects(loadStreamModule(path), (error) => {
      assert.ok(error instanceof TailraceError && error.code === 'stream-module', String(error));
      assert.match(error.message, says);
      return true;
    });
  });
}

test('a function that fails within a word of this program is named by where the user called that', () => {
  const fails = (): void => void JSON.parse('{1');
  assert.throws(() => runOfUser(fails), (error) => error instanceof TailraceError && error.code === 'sink-data' && /\(at \/.+\/stream-module\.test\.ts:\d+:\d+\)$/.test(error.message));
});
