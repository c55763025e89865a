import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { TestDaemon } from './daemon.ts';
import type { Scope, TestDatabase } from './postgres.ts';
import { tempDirectory } from './temp.ts';
import { eventually } from './wait.ts';

export interface Block {
  readonly language: string;
  readonly text: string;
}

export function blocks(page: string): Block[] {
  return [...page.matchAll(/^```(\w+)\n(.*?)^```$/gms)].map(([, language = '', text = '']) => ({ language, text }));
}

const at = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));

/** A folder as a reader has it: connectors/, docker/, and `tailrace` as a command, with those of `commands` beside it (name, shell script). */
export async function workplace(scope: Scope, commands: Readonly<Record<string, string>> = {}): Promise<string> {
  const directory = await tempDirectory(scope);
  for (const name of ['connectors', 'docker']) await symlink(at(name), join(directory, name));
  for (const name of ['bin', 'run']) await mkdir(join(directory, name));
  const all = { ...commands, tailrace: `exec "${process.execPath}" "${at('src/main.ts')}" "$@"` };
  for (const [name, script] of Object.entries(all)) await writeFile(join(directory, 'bin', name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  return directory;
}

export interface PageSetting {
  readonly source: TestDatabase;
  readonly daemon: TestDaemon;
  readonly directory: string;
  /** What the page tells readers to export. */
  readonly environment: Readonly<Record<string, string>>;
}

/** Plays a page from top to bottom: its SQL at the source, its commands in a shell, and holds what they print against the page. */
export class PageRun {
  readonly #source: TestDatabase;
  readonly #daemon: TestDaemon;
  readonly #directory: string;
  readonly #environment: Readonly<Record<string, string>>;
  #command = '';
  #printed = '';

  constructor({ source, daemon, directory, environment }: PageSetting) {
    this.#source = source;
    this.#daemon = daemon;
    this.#directory = directory;
    this.#environment = { ...environment, TAILRACE_RUNTIME_DIR: join(directory, 'run'), PATH: `${directory}/bin:${process.env['PATH']}` };
  }

  async play({ language, text }: Block): Promise<void> {
    if (language === 'sql') await this.#source.sql(text);
    else if (language === 'text') await this.#shows(text);
    else if (language === 'yaml') await this.#save(text);
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

  /** A file that readers write themselves: its first line has the name. */
  async #save(text: string): Promise<void> {
    await writeFile(join(this.#directory, /^# (\S+)/.exec(text)?.[1] as string), text);
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
