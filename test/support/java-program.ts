import { spawn } from 'node:child_process';
import { open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stopWithParent } from '../../src/cli/demo/process-tree.ts';
import type { Scope } from './postgres.ts';

export interface JavaProgram {
  readonly pid: number | undefined;
  /** All that it has said. */
  output(): Promise<string>;
}

/** For tests: it starts soon and takes little. */
const smallJvm = ['-Xmx256m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1'];

/** Runs a Java program in a directory of its own; killed when the scope ends, and with this process. */
export async function startJava(scope: Scope, directory: string, args: readonly string[], jvm: readonly string[] = smallJvm): Promise<JavaProgram> {
  const log = join(directory, 'output.log');
  const output = await open(log, 'a');
  const child = spawn('java', [...jvm, ...args], { cwd: directory, detached: true, stdio: ['ignore', output.fd, output.fd] });
  await output.close();
  const dismiss = child.pid === undefined ? () => {} : stopWithParent(child.pid, directory, 'KILL');
  const exited = new Promise<void>((done) => {
    child.once('exit', () => done());
    child.once('error', () => done());
  });
  scope.after(async () => {
    child.kill('SIGKILL');
    await exited;
    dismiss();
  });
  return { pid: child.pid, output: () => readFile(log, 'utf8') };
}
