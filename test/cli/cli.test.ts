import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { httpAddress } from '../../src/cli/run.ts';
import { createTerminal } from '../../src/cli/terminal.ts';
import { tempDirectory } from '../support/temp.ts';
import { tailrace } from './fake-terminal.ts';

const commands = ['run', 'check', 'status', 'verify', 'topics', 'consume', 'sinks', 'teardown', 'schema', 'demo'];

describe('the command line', () => {
  test('without a command it shows the help and exits with 2', async () => {
    const { code, err } = await tailrace([]);
    assert.equal(code, 2);
    for (const command of commands) assert.match(err, new RegExp(`^  ${command} `, 'm'));
  });
  test('--version is the package’s', async () => assert.deepEqual(await tailrace(['--version']), { code: 0, out: '1.2.3\n', err: '' }));

  for (const [title, args, says] of [
    ['a misspelt command', ['rnu'], /unknown command 'rnu'[^]*Did you mean run\?/],
    ['a misspelt option', ['run', '--htp', 'x'], /unknown option '--htp'[^]*Did you mean --http\?/],
    ['an unknown option in front', ['--foo'], /unknown option '--foo'/],
    ['an option without its value', ['run', '--log-level'], /argument missing/],
    ['an option that is given twice', ['run', '--http', '127.0.0.1:1', '--http', '127.0.0.1:2'], /given twice/],
    ['a negative number', ['consume', 't', '--max', '-5'], /whole number from 1/],
    ['no number', ['consume', 't', '--offset', '1e3'], /whole number from 0/],
    ['an empty value', ['run', '--http', ''], /must not be empty/],
    ['a level that there is not', ['run', '--log-level', 'loud'], /loud is not one of trace, debug/],
    ['a missing argument', ['consume'], /missing required argument 'topic'/],
    ['too many arguments', ['schema', 'x'], /too many arguments/],
    ['two places to begin', ['consume', 't', '--from-beginning', '--offset', '1'], /both say where to begin/],
    ['a time that is none', ['consume', 't', '--until', 'tomorrow'], /time is needed/],
    ['a bare subcommand group', ['topics'], /topics list/],
    ['a file that is not there', ['check', 'no/such.yaml'], /no\/such\.yaml: there is no such file/],
    ['an address that others can reach', ['run', 'FILE', '--http', '0.0.0.0:7717'], /0\.0\.0\.0 can be reached by others[^]*--http-allow-remote/],
    ['an address that is none', ['run', 'FILE', '--http', 'here'], /here is no address[^]*127\.0\.0\.1:7717/],
  ] as const) {
    test(`${title} is wrong usage, with help`, async () => {
      const file = await connector();
      const { code, err, out } = await tailrace(args.map((arg) => (arg === 'FILE' ? file : arg)));
      assert.match(err, says);
      assert.equal(code, 2);
      assert.equal(out, '');
    });
  }

  for (const command of commands) {
    test(`${command} --help has an example, also behind a bad config`, async () => {
      for (const args of [[command, '--help'], [command, '-h', 'no/such.yaml'], ['help', command]]) {
        const { code, out } = await tailrace(args);
        assert.equal(code, 0);
        assert.match(out, new RegExp(`^Usage: tailrace ${command}`));
        assert.match(out, new RegExp(`^  \\$ tailrace ${command}`, 'm'));
      }
    });
  }

  test('help fits a narrow terminal', async () => {
    const { out } = await tailrace(['run', '--help'], { width: 40 });
    const options = out.split('\nExamples:')[0] ?? '';
    // A word that is longer than its column stays whole.
    const wide = options.split('\n').filter((line) => line.length > 40 && line.trim().split(/ +/).length > 2);
    assert.deepEqual(wide, []);
  });

  test('a word behind -- is a path, whatever it looks like', async () => {
    assert.match((await tailrace(['check', '--', '--help'])).err, /--help: there is no such file/);
  });

  test('several pipelines: the one that is meant has to be named', async () => {
    const folder = await tempDirectory();
    for (const name of ['one', 'two']) await writeFile(join(folder, `${name}.yaml`), connectorText(name, folder));
    assert.match((await tailrace(['teardown', folder, '--yes'])).err, /several pipelines: one, two/);
    assert.match((await tailrace(['teardown', folder, '--pipeline', 'tow', '--yes'])).err, /no pipeline tow, did you mean two\?/);
  });
});

function connectorText(name: string, folder: string): string {
  return `name: ${name}\nsource: { type: postgres, url: "postgres://u:s3cr3t@127.0.0.1:1/x" }\nlog: { type: embedded, directory: ${join(folder, 'log', name)} }\n`;
}

async function connector(text?: string): Promise<string> {
  const folder = await tempDirectory();
  const file = join(folder, 'shop.yaml');
  await writeFile(file, text ?? connectorText('shop', folder));
  return file;
}

describe('check', () => {
  test('names every part, looks at the right files although others are wrong, and exits with 2 for those', async () => {
    const folder = await tempDirectory();
    await writeFile(join(folder, 'a.yaml'), connectorText('a', folder));
    await writeFile(join(folder, 'b.yaml'), 'nmae: b\n');
    const { code, out, err } = await tailrace(['check', folder]);
    assert.equal(code, 2);
    assert.match(out, /^a \([^)]*a\.yaml\)\n {2}source\n {4}error {2}/);
    assert.match(out, /^ {2}log +ok$/m);
    assert.match(err, /nmae: unknown key nmae, did you mean name\?/);
    assert.ok(!(out + err).includes('s3cr3t'));
  });
  test('a source that cannot be reached is an error of the environment', async () => {
    const { code } = await tailrace(['check', await connector()]);
    assert.equal(code, 3);
  });
  test('a file where the log’s folder should be is an error with a remedy', async () => {
    const folder = await tempDirectory();
    await mkdir(join(folder, 'log'));
    await writeFile(join(folder, 'log', 'shop'), 'x');
    const { out } = await tailrace(['check', await connector(connectorText('shop', folder))]);
    assert.match(out, /^ {2}log\n {4}error {2}.*is a file, and the log needs a folder\n {6}→ /m);
  });
  test('it makes nothing', async () => {
    const folder = await tempDirectory();
    await tailrace(['check', await connector(connectorText('shop', folder))]);
    const { readdirSync } = await import('node:fs');
    assert.deepEqual(readdirSync(folder), []);
  });
  test('--json has the same', async () => {
    const { out } = await tailrace(['check', await connector(), '--json']);
    const { config, pipelines } = JSON.parse(out) as { config: unknown[]; pipelines: { parts: { part: string }[] }[] };
    assert.deepEqual(config, []);
    assert.deepEqual(pipelines[0]?.parts.map(({ part }) => part), ['source', 'log']);
  });
});

describe('where status is served', () => {
  const at = (options: Parameters<typeof httpAddress>[0], environment: Record<string, string> = {}): unknown => httpAddress(options, { environment });
  test('the flag counts before the environment, and that before the default', () => {
    assert.deepEqual(at({}), { host: '127.0.0.1', port: 7717 });
    assert.deepEqual(at({}, { TAILRACE_HTTP: ':8000' }), { host: '127.0.0.1', port: 8000 });
    assert.deepEqual(at({ http: '[::1]:9000' }, { TAILRACE_HTTP: ':8000' }), { host: '::1', port: 9000 });
    assert.equal(at({}, { TAILRACE_HTTP: 'off' }), null);
    assert.equal(at({ http: false }, { TAILRACE_HTTP: ':8000' }), null);
  });
  test('an address that others can reach needs the word of whoever runs it', () => {
    assert.throws(() => at({ http: '0.0.0.0:7717' }), /can be reached by others/);
    assert.throws(() => at({}, { TAILRACE_HTTP: '[::]:7717' }), /can be reached by others/);
    assert.deepEqual(at({}, { TAILRACE_HTTP: '0.0.0.0:7717', TAILRACE_HTTP_ALLOW_REMOTE: '1' }), { host: '0.0.0.0', port: 7717 });
    assert.deepEqual(at({ http: '10.0.0.1:1', httpAllowRemote: true }), { host: '10.0.0.1', port: 1 });
  });
});

describe('colour', () => {
  const painted = (isTTY: boolean, environment: Record<string, string>): boolean => {
    const stream = { isTTY, write: () => true } as unknown as NodeJS.WriteStream;
    return createTerminal({ stdin: process.stdin, stdout: stream, stderr: stream, environment }).style.red('x') !== 'x';
  };
  test('is for terminals only, and for none with NO_COLOR or TERM=dumb', () => {
    assert.equal(painted(true, {}), true);
    assert.equal(painted(false, {}), false);
    assert.equal(painted(true, { NO_COLOR: '1' }), false);
    assert.equal(painted(true, { NO_COLOR: '' }), true);
    assert.equal(painted(true, { TERM: 'dumb' }), false);
  });
});
