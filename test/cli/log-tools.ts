import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { requirePipelines } from '../../src/config/load.ts';
import { createLog } from '../../src/registry.ts';
import { silentLogger } from '../../src/runtime/logger.ts';
import { tempDirectory } from '../support/temp.ts';
import { tailrace, type Fake, type Said } from './fake-terminal.ts';

export interface Tools {
  /** The pipeline's name. */
  readonly name: string;
  readonly file: string;
  /** Runs a command on the connector file: its name, then its arguments, then the file. */
  run(command: readonly string[], fake?: Fake): Promise<Said>;
}

/** A pipeline whose log has its own topics and one of a table, with some records each; its source is never asked. */
export async function toolsOn(log: (directory: string) => string, name: string): Promise<Tools> {
  const directory = await tempDirectory();
  const file = join(directory, `${name}.yaml`);
  await writeFile(file, `name: ${name}\nsource: { type: postgres, url: "postgres://u:p@127.0.0.1:1/x" }\nlog: ${log(join(directory, 'log'))}\n`);
  const config = requirePipelines([file], {})[0]?.config;
  assert.ok(config !== undefined);
  const writer = await createLog(config.log, { pipeline: name, logger: silentLogger }).openWriter();
  for (const topic of ['transaction', 'schema', 'public.items']) await writer.createTopic({ topic: `${name}.${topic}`, partitions: 1 });
  await writer.close();
  return { name, file, run: (command, fake = {}) => tailrace([...command, file], { ...fake, environment: { TAILRACE_RUNTIME_DIR: directory, ...fake.environment } }) };
}

/** The commands on topics, on any log. */
export function topicCommands(what: string, tools: () => Promise<Tools>, missing?: string): void {
  describe(`topics on ${what}`, { skip: missing ?? false }, () => {
    test('a topic is made, given partitions and deleted; what is there already or is not there is an error unless it is allowed', async () => {
      const { name, run } = await tools();
      const made = await run(['topics', 'create', 'clicks', '--partitions', '2']);
      assert.equal(made.code, 0, made.err);
      assert.equal(made.out, `${name}.clicks was made\n`);
      const again = await run(['topics', 'create', `${name}.clicks`]);
      assert.equal(again.code, 2);
      assert.match(again.err, /is there already[^]*--if-not-exists/);
      assert.equal((await run(['topics', 'create', 'clicks', '--if-not-exists'])).code, 0);
      assert.equal((await run(['topics', 'alter', 'clicks', '--partitions', '3'])).code, 0);
      const fewer = await run(['topics', 'alter', 'clicks', '--partitions', '1']);
      assert.equal(fewer.code, 3);
      const described = JSON.parse((await run(['topics', 'describe', 'clicks', '--json'])).out) as { kind: string; partitions: readonly { bytes: number }[] };
      assert.equal(described.kind, 'produced');
      assert.deepEqual(described.partitions.map(({ bytes }) => bytes), [0, 0, 0]);
      assert.equal((await run(['topics', 'delete', 'clicks'], { answer: 'no' })).code, 2);
      assert.equal((await run(['topics', 'delete', 'clicks', '--yes'])).code, 0);
      const gone = await run(['topics', 'delete', 'clicks', '--yes']);
      assert.equal(gone.code, 2);
      assert.match(gone.err, /is not there[^]*--if-exists/);
      assert.equal((await run(['topics', 'delete', 'clicks', '--yes', '--if-exists'])).code, 0);
      assert.equal((await run(['topics', 'alter', 'clicks', '--partitions', '3', '--if-exists'])).code, 0);
    });
    test("a pipeline's own topic is not made, and not touched without --force, which says what would be lost", async () => {
      const { name, run } = await tools();
      const create = await run(['topics', 'create', 'public.other']);
      assert.equal(create.code, 2);
      assert.match(create.err, new RegExp(`writes itself[^]*for example ${name}\\.other`));
      const refused = await run(['topics', 'delete', 'public.items', '--yes']);
      assert.equal(refused.code, 2);
      assert.match(refused.err, /pipeline .* writes\. If it is deleted, the changes of its table go: sinks [^]*add --force/);
      assert.match((await run(['topics', 'alter', 'public.items', '--partitions', '4'])).err, /order of their changes is lost/);
      assert.match((await run(['topics', 'delete', 'transaction', '--yes'])).err, /where the pipeline stands goes/);
      assert.equal((await run(['topics', 'delete', 'public.items', '--yes', '--force'])).code, 0);
      assert.doesNotMatch((await run(['topics', 'list'])).out, /public\.items/);
    });
    test('bad input is an error that says what is wrong', async () => {
      const { run } = await tools();
      for (const [command, message] of [
        [['topics', 'create', 'a b'], /no name for a topic/],
        [['topics', 'create', 'clicks', '--partitions', '0'], /whole number from 1/],
        [['topics', 'create', 'clicks', '--config', 'retention'], /name=value is needed/],
        [['topics', 'alter', 'clicks'], /nothing to alter/],
      ] as const) {
        const said = await run(command);
        assert.equal(said.code, 2, command.join(' '));
        assert.match(said.err, message);
      }
    });
  });
}
