import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { TestDaemon } from '../support/daemon.ts';
import { freshDatabase, type TestDatabase } from '../support/postgres.ts';
import { tempDirectory } from '../support/temp.ts';
import { eventually } from '../support/wait.ts';

const at = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));

interface Block {
  readonly language: string;
  readonly text: string;
}

function blocks(page: string): Block[] {
  return [...page.matchAll(/^```(\w+)\n(.*?)^```$/gms)].map(([, language = '', text = '']) => ({ language, text }));
}

/** A folder as a reader has it: connectors/, docker/, and `tailrace` as a command. */
async function workplace(t: TestContext): Promise<string> {
  const directory = await tempDirectory(t);
  for (const name of ['connectors', 'docker']) await symlink(at(name), join(directory, name));
  for (const name of ['bin', 'run']) await mkdir(join(directory, name));
  await writeFile(join(directory, 'bin/tailrace'), `#!/bin/sh\nexec "${process.execPath}" "${at('src/main.ts')}" "$@"\n`, { mode: 0o755 });
  return directory;
}

/** Plays a page from top to bottom: its SQL at the source, its commands in a shell, and holds what they print against the page. */
class PageRun {
  readonly #source: TestDatabase;
  readonly #daemon: TestDaemon;
  readonly #directory: string;
  #command = '';
  #printed = '';

  constructor(setting: { readonly source: TestDatabase; readonly daemon: TestDaemon; readonly directory: string }) {
    this.#source = setting.source;
    this.#daemon = setting.daemon;
    this.#directory = setting.directory;
  }

  async play({ language, text }: Block): Promise<void> {
    if (language === 'sql') await this.#source.sql(text);
    else if (language === 'text') await this.#shows(text);
    else if (text.startsWith('tailrace run')) await this.#run(text.trim().split(' ').at(-1) as string);
    else if (text.includes('psql')) await this.#source.sql(await readFile(at(/ -f (\S+)/.exec(text)?.[1] as string), 'utf8'));
    else if (language === 'sh') this.#printed = await this.#shell((this.#command = text));
    else assert.fail(`a block of ${language} has no meaning here`);
  }

  /** What comes a moment later is there when one asks again. */
  async #shows(text: string): Promise<void> {
    const wanted = pattern(text);
    await eventually(async () => wanted.test(this.#printed) || wanted.test((this.#printed = await this.#shell(this.#command))), { timeoutMs: 60_000 }).catch(() => {
      assert.fail(`the page shows\n${text}\nand this was printed\n${this.#printed}`);
    });
  }

  async #run(connector: string): Promise<void> {
    this.#daemon.start(this.#environment, { path: join(this.#directory, connector), directory: this.#directory });
    await this.#daemon.streaming();
  }

  get #environment(): Record<string, string> {
    return { SHOP_DATABASE_URL: this.#source.url, TAILRACE_RUNTIME_DIR: join(this.#directory, 'run'), PATH: `${this.#directory}/bin:${process.env['PATH']}` };
  }

  #shell(text: string): Promise<string> {
    const env = { ...process.env, ...this.#environment };
    return new Promise((resolve, reject) => {
      execFile('sh', ['-ec', text], { cwd: this.#directory, env, timeout: 60_000 }, (error, out, err) => {
        if (error === null) resolve(out);
        else reject(new Error(`${text}\n${out}${err}\n${this.#daemon.output.slice(-2000)}`, { cause: error }));
      });
    });
  }
}

/** `…` stands for anything; a line of nothing else for any lines. */
function pattern(text: string): RegExp {
  const escaped = text.trim().split('\n').map((line) => (line === '…' ? '[\\s\\S]*' : line.split('…').map((part) => part.replaceAll(/[$()*+./?[\\\]^{|}-]/g, String.raw`\$&`)).join('.*')));
  return new RegExp(`^${escaped.join('\\n')}\\s*$`);
}

test('docs/concepts.md: every command and what it prints', async (t) => {
  const directory = await workplace(t);
  const source = await freshDatabase(t);
  const daemon = await TestDaemon.create(t, directory, '');
  const page = new PageRun({ source, daemon, directory });
  for (const block of blocks(await readFile(at('docs/concepts.md'), 'utf8'))) await page.play(block);
  assert.equal(await daemon.stop(), 0);
});
