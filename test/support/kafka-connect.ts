import { spawn } from 'node:child_process';
import { open, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { freePort } from '../../src/cli/demo/embedded-postgres.ts';
import { stopWithParent } from '../../src/cli/demo/process-tree.ts';
import type { Scope } from './postgres.ts';
import { tempDirectory } from './temp.ts';

export interface ConnectWorker {
  /** What it has said, and why a task has failed. */
  output(): Promise<string>;
}

/** A real worker of Kafka Connect, standalone, with one connector; killed when the scope ends. */
export async function startConnect(
  scope: Scope,
  { libs, brokers, connector }: { readonly libs: string; readonly brokers: readonly string[]; readonly connector: string },
): Promise<ConnectWorker> {
  const directory = await tempDirectory(scope);
  const json = 'org.apache.kafka.connect.json.JsonConverter';
  const worker = [
    `bootstrap.servers=${brokers.join()}`, `key.converter=${json}`, `value.converter=${json}`, `listeners=http://127.0.0.1:${await freePort()}`,
    `offset.storage.file.filename=${join(directory, 'offsets')}`, 'offset.flush.interval.ms=500', 'plugin.discovery=only_scan',
    // So that a topic that is made after the connector is seen soon.
    'consumer.metadata.max.age.ms=500',
  ];
  await writeFile(join(directory, 'worker.properties'), `${worker.join('\n')}\n`);
  await writeFile(join(directory, 'connector.properties'), connector);
  const log = join(directory, 'output.log');
  const output = await open(log, 'a');
  const jvm = ['-Xmx256m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-Dorg.slf4j.simpleLogger.defaultLogLevel=warn'];
  const args = [...jvm, '-cp', join(libs, '*'), 'org.apache.kafka.connect.cli.ConnectStandalone', 'worker.properties', 'connector.properties'];
  const child = spawn('java', args, { cwd: directory, detached: true, stdio: ['ignore', output.fd, output.fd] });
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
  return { output: () => readFile(log, 'utf8') };
}
