import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync } from 'node:fs';
import { basename, dirname, isAbsolute, join, resolve } from 'node:path';

export interface Instruction {
  readonly name: string;
  readonly text: string;
}

export interface Stage {
  readonly base: string;
  readonly name: string;
  readonly instructions: readonly Instruction[];
}

/** The stages of a Dockerfile, comments gone and continued lines joined. */
export function stagesOf(dockerfile: string): Stage[] {
  const joined = dockerfile.replace(/^\s*#.*\n/gm, '').replace(/\\\n\s*/g, '');
  const stages: { base: string; name: string; instructions: Instruction[] }[] = [];
  for (const line of joined.split('\n').filter((text) => text.trim() !== '')) {
    const [, name = '', text = ''] = /^(\S+)\s+(.*)$/.exec(line) ?? [];
    if (name === 'FROM') {
      const [base = '', , alias] = text.split(/\s+/);
      stages.push({ base, name: alias ?? `stage ${stages.length}`, instructions: [] });
    } else {
      stages.at(-1)?.instructions.push({ name, text });
    }
  }
  return stages;
}

/** `ENTRYPOINT ["a", "b"]` as its words; null when it is not in exec form, or not there. */
export function execForm(stage: Stage, name: string): string[] | null {
  const text = stage.instructions.findLast((instruction) => instruction.name === name)?.text ?? '';
  try {
    return JSON.parse(text.slice(text.indexOf('['))) as string[];
  } catch {
    return null;
  }
}

/**
 * Carries out the COPY, WORKDIR and RUN of each stage in a folder of its own below `where`, as an engine would in images:
 * nothing is there but what the file says, only Node and npm come from this machine. Returns the last stage's folder.
 */
export function carryOut(stages: readonly Stage[], context: string, where: string): string {
  let last = where;
  for (const [number, stage] of stages.entries()) {
    last = join(where, String(number));
    let workdir = last;
    mkdirSync(workdir);
    for (const { name, text } of stage.instructions) {
      if (name === 'WORKDIR') mkdirSync((workdir = join(last, text)), { recursive: true });
      else if (name === 'COPY') copy(text, { context, workdir, stageFolder: (alias) => stageFolder(stages, where, alias) });
      else if (name === 'RUN') run(text, workdir);
    }
  }
  return last;
}

function stageFolder(stages: readonly Stage[], where: string, alias: string): string {
  return join(where, String(stages.findIndex(({ name }) => name === alias)));
}

function copy(text: string, at: { context: string; workdir: string; stageFolder: (alias: string) => string }): void {
  const words = text.split(/\s+/);
  const from = /^--from=(.*)$/.exec(words.find((word) => word.startsWith('--from=')) ?? '')?.[1];
  const paths = words.filter((word) => !word.startsWith('--'));
  const target = paths.pop() ?? '';
  // A stage of nothing but its base: what it has is Node, which comes from this machine.
  if (from !== undefined && readdirSync(at.stageFolder(from)).length === 0) return;
  for (const path of paths) {
    const source = from === undefined ? join(at.context, path) : join(at.stageFolder(from), path);
    // Nothing may land outside of the stage's folder, whoever carries this out.
    if (isAbsolute(target)) throw new Error(`COPY to ${target}: only relative targets are carried out`);
    const folder = resolve(at.workdir, target);
    const destination = target.endsWith('/') ? join(folder, basename(path)) : folder;
    mkdirSync(dirname(destination), { recursive: true });
    cpSync(source, destination, { recursive: true, verbatimSymlinks: true });
  }
}

function run(command: string, cwd: string): void {
  const done = spawnSync('/bin/sh', ['-c', command], { cwd, encoding: 'utf8' });
  if (done.status !== 0) throw new Error(`RUN ${command} failed:\n${done.stdout}${done.stderr}`);
}
