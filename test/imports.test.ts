import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { dirname, join, normalize } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const sourceFolder = fileURLToPath(new URL('../src/', import.meta.url));

/**
 * Who may import whom in src/: the table that keeps the parts apart. A module is a path prefix; the longest that fits a file
 * counts. A module may always import itself. Entries: `folder/`, a file, `node:*`, or a package.
 */
const TABLE: Readonly<Record<string, readonly string[]>> = {
  'event/': [],
  'runtime/': ['node:*', 'croner', 'pino', 'prom-client'],
  'runtime/postgres/': ['pg', 'zod'],
  'codec/': ['event/', 'runtime/', 'node:buffer', 'node:util', 'zod'],
  // A schema registry is asked before the first record, never while one is written.
  'codec/avro/': ['node:fs/promises', 'node:http', 'node:https'],
  'source/': ['event/', 'runtime/', 'node:*', 'pg', 'pg-logical-replication', 'zod'],
  'log/': ['runtime/', 'node:*', '@node-rs/crc32', 'zod'],
  'sink/': ['event/', 'runtime/', 'node:*', 'zod'],
  'sink/postgres/': ['pg'],
  // It sees the four seams and never what is behind them: so it does no input or output of its own either.
  'pipeline/': [
    'event/',
    'runtime/',
    'codec/codec.ts',
    'log/log.ts',
    'sink/query.ts',
    'sink/sink.ts',
    'sink/verifier.ts',
    'source/source.ts',
    'source/catalog.ts',
    'source/verifier.ts',
    'node:crypto',
    'node:events',
    'node:timers/promises',
    'node:util',
    'node:worker_threads',
  ],
  // What users write streams with, and what runs them; its state is a SQLite file, and towards the pipeline it is a sink.
  'stream/': ['event/', 'runtime/', 'sink/sink.ts', 'node:*'],
  'registry.ts': ['runtime/', 'codec/codec.ts', 'log/log.ts', 'sink/sink.ts', 'source/source.ts', '*/claims.ts', '*/config.ts', '*/index.ts', 'zod'],
  // A pattern for tables means the same where it is read and where it is used.
  'config/': ['registry.ts', 'event/table-pattern.ts', 'runtime/', 'node:*', 'yaml', 'zod'],
  // It puts the parts together, and looks into a log on behalf of people: all of the shared language, no plug-in.
  'app': [
    'config/',
    'registry.ts',
    'pipeline/',
    'event/',
    'codec/codec.ts',
    'log/log.ts',
    'log/groups.ts',
    'sink/query.ts',
    'sink/sink.ts',
    'source/source.ts',
    'stream/',
    'runtime/',
    'node:*',
    // What comes over the control socket is checked like a configuration.
    'zod',
  ],
  'cli/': ['app', 'config/', 'pipeline/status.ts', 'runtime/', 'node:*', 'commander'],
  // The demo is also the application whose tables are captured, and the one who looks at the replicas;
  // the daemon it starts, and kills, is a process of its own, whose program is main.ts.
  'cli/demo/': ['pg', 'main.ts'],
  'main.ts': ['app', 'cli/', 'config/', 'runtime/', 'node:*', 'commander'],
};

/** Everybody may import runtime/, but its driver only they (docs/adr/0003-shared-postgres-connection.md). */
const DRIVER_USERS = ['runtime/postgres/', 'source/postgres/', 'sink/postgres/', 'cli/'];

/** Folders whose subfolders are plug-ins: each may import what lies beside it in the folder, never another plug-in. */
const PLUGIN_FOLDERS = ['codec/', 'source/', 'log/', 'sink/'];

/** Every module that a file names, in whichever way: static, for types only, for effect, re-exported, dynamic, as a worker. */
function importsOf(source: string): string[] {
  const forms = [
    /^\s*(?:import|export)\b[^;'"`]*?\bfrom\s*['"]([^'"]+)['"]/gm,
    /^\s*import\s*['"]([^'"]+)['"]/gm,
    /\bimport\(\s*['"`]([^'"`]+)['"`]/g,
    /\bnew URL\(\s*['"`](\.[^'"`]+)['"`]\s*,\s*import\.meta\.url/g,
    /\brequire\(\s*['"`]([^'"`]+)['"`]/g,
  ];
  // A worker's or program's extension is .ts here and .js in the package.
  return forms.flatMap((form) =>
    [...source.matchAll(form)].map((match) => (match[1] ?? '').replace(/\$\{extension\}$/, '.ts')),
  );
}

/** What is wrong with this import, or null. `file` is relative to src/. */
function violation(file: string, specifier: string): string | null {
  const target = specifier.startsWith('.') ? normalize(join(dirname(file), specifier)) : specifier;
  if (target.startsWith('..')) return `${file} imports ${specifier}, outside of src/`;
  if (!specifier.startsWith('.') && !specifier.startsWith('node:') && builtinModules.includes(specifier)) {
    return `${file} imports ${specifier} without node:`;
  }
  if (target.startsWith('runtime/postgres/') && !DRIVER_USERS.some((user) => file.startsWith(user))) {
    return `${file} may not import ${target}`;
  }
  const modules = modulesOf(file);
  if (modules.length === 0) return `${file} is in no module of the table`;
  const ownPlugin = pluginOf(file);
  const theirPlugin = pluginOf(target);
  const within = modules.some((module) => target.startsWith(module));
  if (within && (theirPlugin === null || theirPlugin === ownPlugin)) return null;
  if (!within && modules.some((module) => TABLE[module]?.some((allowed) => allows(allowed, target)))) return null;
  return `${file} may not import ${target}`;
}

/** All that apply: `cli/demo/` may what `cli/` may, and more. */
function modulesOf(file: string): string[] {
  return Object.keys(TABLE).filter((module) => file.startsWith(module));
}

function pluginOf(file: string): string | null {
  const folder = PLUGIN_FOLDERS.find((prefix) => file.startsWith(prefix));
  const name = folder === undefined ? undefined : file.slice(folder.length).split('/');
  return name === undefined || name.length < 2 ? null : `${folder}${name[0]}`;
}

function allows(allowed: string, target: string): boolean {
  if (allowed === 'node:*') return target.startsWith('node:');
  if (allowed.startsWith('*/')) return pluginOf(target) !== null && target === `${pluginOf(target)}/${allowed.slice(2)}`;
  if (allowed === 'app') return target === 'app.ts' || target.startsWith('app/');
  return allowed.endsWith('/') ? target.startsWith(allowed) : target === allowed;
}

test('every import in src/ is one that the table allows', () => {
  const files = readdirSync(sourceFolder, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'));
  const imports = files.flatMap((file) =>
    importsOf(readFileSync(join(sourceFolder, file), 'utf8')).map((target) => [file, target] as const),
  );
  assert.ok(imports.length > 50, 'the parser finds the imports');
  assert.deepEqual(
    imports.map(([file, target]) => violation(file, target)).filter((found) => found !== null),
    [],
  );
});

test('nobody imports node:http but for its types: what is used of it comes from runtime/node-http.ts, which says why', () => {
  const files = readdirSync(sourceFolder, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'));
  const imported = files.filter((file) => /^import (?!type\b)[^;]*from 'node:http'/m.test(readFileSync(join(sourceFolder, file), 'utf8')));
  assert.deepEqual(imported, []);
});

test('no thread loads a plug-in that its pipeline does not name, nor a schema: together they cost each thread 12 MiB and 0.15 s of CPU', () => {
  const files = readdirSync(sourceFolder, { recursive: true, encoding: 'utf8' });
  const threads = files.filter((file) => /^app\/.*-thread\.ts$/.test(file));
  const plugins = files.filter((file) => allows('*/index.ts', file));
  assert.ok(threads.length >= 5 && plugins.length >= 8, 'threads and plug-ins are found');
  const loaded = loadedFrom(threads);
  assert.ok(loaded.has('registry.ts') && loaded.has('runtime/secret.ts'), 'imports are followed');
  assert.deepEqual([...plugins, 'zod', 'yaml', 'pg'].filter((file) => loaded.has(file)), []);
  assert.deepEqual(plugins.filter((file) => loadedFrom([file]).has('zod')), []);
});

/** What is loaded with these files, types aside and what is imported where it is needed: files, and packages by name. */
function loadedFrom(files: readonly string[]): ReadonlySet<string> {
  const loaded = new Set(files);
  for (const file of loaded) {
    if (!file.endsWith('.ts')) continue;
    const imports = readFileSync(join(sourceFolder, file), 'utf8').matchAll(/^(?:import|export)\b(?! type\b)(?:[^;'"`]*?\bfrom)?\s*['"]([^'"]+)['"]/gm);
    for (const [, specifier = ''] of imports) loaded.add(specifier.startsWith('.') ? normalize(join(dirname(file), specifier)) : specifier);
  }
  return loaded;
}

test('every form of import is seen', () => {
  const source = `
    import a from 'a';
    import type { B } from 'b';
    import {
      c,
      type D,
    } from 'c';
    import 'd';
    export * from 'e';
    export { f } from 'f';
    export type { G } from 'g';
    const h = await import('h');
    const worker = new Worker(new URL('./i.ts', import.meta.url));
    // import x from 'commented';
    const sql = "select 1 from 'text'";`;
  assert.deepEqual(importsOf(source).sort(), ['./i.ts', 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']);
});

const cases: readonly [file: string, specifier: string, allowed: boolean][] = [
  ['event/lsn.ts', './table.ts', true],
  ['event/lsn.ts', 'node:util', false],
  ['event/lsn.ts', '../runtime/errors.ts', false],
  ['runtime/logger.ts', 'pino', true],
  ['runtime/logger.ts', '../event/lsn.ts', false],
  ['runtime/http.ts', 'pg', false],
  ['runtime/http.ts', './postgres/client.ts', false],
  ['runtime/postgres/client.ts', 'pg', true],
  ['source/postgres/session.ts', '../../runtime/postgres/client.ts', true],
  ['sink/sqlite/index.ts', '../../runtime/postgres/client.ts', false],
  ['pipeline/publisher.ts', '../runtime/postgres/client.ts', false],
  ['pipeline/publisher.ts', '../log/log.ts', true],
  ['pipeline/publisher.ts', '../log/embedded/index.ts', false],
  ['pipeline/publisher.ts', 'node:fs', false],
  ['pipeline/publisher.ts', 'pg', false],
  ['codec/json/index.ts', '../codec.ts', true],
  ['codec/json/index.ts', '../tuple/tuple-codec.ts', false],
  ['codec/codec.ts', './json/index.ts', false],
  ['log/embedded/index.ts', '../../event/lsn.ts', false],
  ['sink/postgres/index.ts', 'pg', true],
  ['sink/sqlite/index.ts', 'pg', false],
  ['sink/sqlite/index.ts', '../../source/source.ts', false],
  ['registry.ts', './sink/sqlite/index.ts', true],
  ['registry.ts', './sink/sqlite/config.ts', true],
  ['registry.ts', './sink/sqlite/writer.ts', false],
  ['config/load.ts', '../pipeline/publisher.ts', false],
  ['app.ts', './pipeline/publisher.ts', true],
  ['app.ts', './sink/sqlite/index.ts', false],
  ['cli/run.ts', '../app.ts', true],
  ['cli/run.ts', '../registry.ts', false],
  ['cli/run.ts', 'pg', false],
  ['cli/demo/traffic.ts', 'pg', true],
  ['cli/run.ts', '../../test/support/wait.ts', false],
  ['cli/run.ts', 'fs', false],
  ['elsewhere/x.ts', 'zod', false],
];
for (const [file, specifier, allowed] of cases) {
  test(`${file} ${allowed ? 'may' : 'may not'} import ${specifier}`, () => {
    assert.equal(violation(file, specifier) === null, allowed);
  });
}
