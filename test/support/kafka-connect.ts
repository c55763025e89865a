import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { freePort } from '../../src/cli/demo/embedded-postgres.ts';
import { startJava, type JavaProgram } from './java-program.ts';
import type { Scope } from './postgres.ts';
import { tempDirectory } from './temp.ts';

export interface ConnectOptions {
  readonly libs: string;
  readonly brokers: readonly string[];
  /** Lines of the connector's properties. */
  readonly connector: string;
  /** Settings of the worker over those that are good for tests. */
  readonly worker?: readonly string[];
  /** Options of Java in place of those for tests. */
  readonly jvm?: readonly string[];
}

/** A real worker of Kafka Connect, standalone, with one connector; its output says why a task has failed. */
export async function startConnect(scope: Scope, { libs, brokers, connector, worker: settings = [], jvm }: ConnectOptions): Promise<JavaProgram> {
  const directory = await tempDirectory(scope);
  const json = 'org.apache.kafka.connect.json.JsonConverter';
  const worker = [
    `bootstrap.servers=${brokers.join()}`, `key.converter=${json}`, `value.converter=${json}`, `listeners=http://127.0.0.1:${await freePort()}`,
    `offset.storage.file.filename=${join(directory, 'offsets')}`, 'offset.flush.interval.ms=500', 'plugin.discovery=only_scan',
    // So that a topic that is made after the connector is seen soon.
    'consumer.metadata.max.age.ms=500',
    ...settings,
  ];
  await writeFile(join(directory, 'worker.properties'), `${worker.join('\n')}\n`);
  await writeFile(join(directory, 'connector.properties'), connector);
  const args = ['-Dorg.slf4j.simpleLogger.defaultLogLevel=warn', '-cp', join(libs, '*'), 'org.apache.kafka.connect.cli.ConnectStandalone'];
  return startJava(scope, directory, [...args, 'worker.properties', 'connector.properties'], jvm);
}
