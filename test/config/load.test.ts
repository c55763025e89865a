import assert from 'node:assert/strict';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { loadPipelines, requirePipelines } from '../../src/config/load.ts';
import { configFromPortable, portableConfig } from '../../src/config/portable.ts';
import { Secret } from '../../src/runtime/secret.ts';
import { TailraceError } from '../../src/runtime/errors.ts';
import { tempDirectory } from '../support/temp.ts';

interface Parts {
  readonly name?: string;
  readonly url?: string;
  readonly directory?: string;
  readonly sinks?: string;
}

function connector({ name = 'shop', url = 'postgres://u:p@db/shop', directory = `./data/${name}`, sinks = '' }: Parts): string {
  return `name: ${name}\nsource:\n  type: postgres\n  url: ${url}\nlog: { type: embedded, directory: ${directory} }\n${sinks}`;
}

async function folderOf(files: Readonly<Record<string, string>>): Promise<string> {
  const folder = await tempDirectory();
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
  return folder;
}

async function messages(files: Readonly<Record<string, string>>): Promise<readonly string[]> {
  const { problems } = loadPipelines([await folderOf(files)], {});
  return problems.map(({ path, message }) => `${path}: ${message}`);
}

describe('which files are read', () => {
  test('a folder gives its .yaml and .yml files, in order, and nothing below or hidden', async () => {
    const folder = await folderOf({ 'b.yml': connector({ name: 'b' }), 'a.yaml': connector({ name: 'a' }), '.c.yaml': '!', 'd.txt': '!' });
    await mkdir(join(folder, 'e.yaml.d'));
    assert.deepEqual(requirePipelines([folder], {}).map(({ config }) => config.name), ['a', 'b']);
  });
  test('a file that is named twice is read once', async () => {
    const folder = await folderOf({ 'a.yaml': connector({ name: 'a' }) });
    await symlink(join(folder, 'a.yaml'), join(folder, 'b.yaml'));
    assert.equal(requirePipelines([folder, join(folder, 'a.yaml')], {}).length, 1);
  });
  test('an empty folder is a problem', async () => assert.match((await messages({})).join(), /no .yaml file in this folder/));
  test('problems of all files are told together', async () => {
    assert.equal((await messages({ 'a.yaml': 'x: 1', 'b.yaml': '', 'c.yaml': '[' })).length, 6);
  });
  test('the error holds them all and exits with 2', async () => {
    const folder = await folderOf({ 'a.yaml': '', 'b.yaml': '' });
    assert.throws(() => requirePipelines([folder], {}), (error) => error instanceof TailraceError && error.entry.exit === 2 && /a.yaml[^]*b.yaml[^]*2 problems/.test(error.message));
  });
});

describe('pipelines that are in each other’s way', () => {
  test('one name', async () => {
    assert.match((await messages({ 'a.yaml': connector({}), 'b.yaml': connector({ directory: './other' }).replace('type: postgres', 'type: postgres\n  slot: other') })).join(), /^name: the pipeline name shop is taken already, at .*a.yaml:1:1 name$/);
  });
  test('one slot of one server, whatever the database and the spelling of the host', async () => {
    const found = await messages({
      'a.yaml': connector({ name: 'a-b', url: 'postgres://u:p@localhost/one' }),
      'b.yaml': connector({ name: 'a_b', url: 'postgres://x:y@127.0.0.1:5432/two' }),
    });
    assert.match(found.join(), /^source.slot: the replication slot tailrace_a_b of this server is taken already/);
  });
  test('the same slot name on two servers is fine', async () => {
    assert.deepEqual(await messages({ 'a.yaml': connector({ name: 'a-b', url: 'postgres://u:p@one/x' }), 'b.yaml': connector({ name: 'a_b', url: 'postgres://u:p@two/x' }) }), []);
  });
  test('one log directory, by any path', async () => {
    assert.match((await messages({ 'a.yaml': connector({ name: 'a', directory: './data/x' }), 'b.yaml': connector({ name: 'b', directory: 'data/y/../x/' }) })).join(), /^log.directory: the log directory/);
  });
  test('one SQLite file, within a pipeline and across two', async () => {
    const sinks = 'sinks:\n  - { name: a, type: sqlite, path: ./s.db }\n';
    assert.match((await messages({ 'a.yaml': connector({ name: 'a', sinks }), 'b.yaml': connector({ name: 'b', sinks }) })).join(), /^sinks\[0\].path: the SQLite file/);
    assert.match((await messages({ 'a.yaml': connector({ sinks: `${sinks}  - { name: b, type: sqlite, path: s.db }\n` }) })).join(), /^sinks\[1\].path: the SQLite file/);
  });
});

describe('a loaded config', () => {
  const loaded = async (text: string, environment: Record<string, string> = {}) => {
    const [pipeline] = requirePipelines([await folderOf({ 'a.yaml': text })], environment);
    assert.ok(pipeline !== undefined);
    return pipeline.config;
  };

  test('is frozen through and through', async () => {
    const config = await loaded(connector({ sinks: 'sinks: [{ name: a, type: sqlite, path: ./s.db }]' }));
    assert.throws(() => ((config as { name: string }).name = 'x'), TypeError);
    assert.throws(() => (config.sinks as unknown[]).push('x'), TypeError);
  });
  test('does not print its URLs', async () => {
    const config = await loaded(connector({ url: '${U}' }), { U: 'postgres://u:s3cr3t@db/x' });
    const { inspect } = await import('node:util');
    for (const text of [JSON.stringify(config), inspect(config, { depth: 9, showHidden: true }), (String(config.source.url))]) assert.ok(!text.includes('s3cr3t'), text);
    assert.ok(config.source.url instanceof Secret && config.source.url.reveal().includes('s3cr3t'));
  });
  test('goes to a thread as plain data and comes out the same', async () => {
    const config = await loaded(connector({ sinks: 'sinks: [{ name: a, type: postgres, url: "${U}" }]' }), { U: 'postgres://u:s3cr3t@db/x' });
    const copy = configFromPortable(structuredClone(portableConfig(config)));
    assert.deepEqual(copy, config);
    const [sink] = copy.sinks;
    assert.equal(sink?.type === 'postgres' && sink.url.reveal(), 'postgres://u:s3cr3t@db/x');
    assert.throws(() => (copy.sinks as unknown[]).push('x'), TypeError);
  });
  test('a variable is converted where a switch is wanted', async () => {
    const config = await loaded(connector({ sinks: 'sinks: [{ name: a, type: sqlite, path: ./x, hold: "${H}" }]' }), { H: 'true' });
    assert.equal(config.sinks[0]?.hold, true);
  });
});
