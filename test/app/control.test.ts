import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, stat, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { askDaemon } from '../../src/app/control/ask-daemon.ts';
import type { CommandName, Handlers } from '../../src/app/control/commands.ts';
import { ControlServer } from '../../src/app/control/control-server.ts';
import { socketPlace, type SocketPlace } from '../../src/app/control/place.ts';
import { requirePipelines } from '../../src/config/load.ts';
import type { PipelineConfig } from '../../src/config/pipeline-schema.ts';
import type { PipelineStatus } from '../../src/pipeline/status.ts';
import { TailraceError } from '../../src/runtime/errors.ts';
import { postToSocket } from '../../src/runtime/http-socket.ts';
import { silentLogger } from '../../src/runtime/logger.ts';
import { tempDirectory } from '../support/temp.ts';
import { eventually } from '../support/wait.ts';

const status: PipelineStatus = { pipeline: 'shop', state: 'streaming', error: null, source: null, snapshot: [], jobs: [], compaction: null, leftOut: [], sinks: [] };

interface World {
  readonly config: PipelineConfig;
  readonly runtimeFolder: string;
  readonly place: SocketPlace;
}

async function world(t: TestContext, options: { readonly name?: string; readonly log?: string } = {}): Promise<World> {
  const folder = await tempDirectory(t);
  const file = join(folder, 'shop.yaml');
  await writeFile(file, `name: ${options.name ?? 'shop'}\nsource: { type: postgres, url: "postgres://u:p@127.0.0.1:1/x" }\nlog: { type: embedded, directory: ${options.log ?? join(folder, 'log')} }\n`);
  const config = requirePipelines([file], {})[0]?.config as PipelineConfig;
  return { config, runtimeFolder: folder, place: socketPlace(config, folder) };
}

/** Listens as a daemon does, until the test ends. */
function listen(t: TestContext, { place }: World, handlers: Partial<Handlers<CommandName>> = {}): ControlServer {
  const server = new ControlServer(place, { status: async () => status, snapshot: async ({ tables }) => [tables ?? 'all'], log: async () => ({ done: true }), ...handlers }, silentLogger);
  t.after(() => server.close());
  return server;
}

const ask = ({ config, runtimeFolder }: World): Promise<PipelineStatus> => askDaemon(config, 'status', {}, { runtimeFolder });

describe('a command', () => {
  test('reaches the daemon that has the pipeline, and brings back what it said', async (t) => {
    const shop = await world(t);
    listen(t, shop);
    assert.deepEqual(await eventually(() => ask(shop)), status);
    assert.deepEqual(await askDaemon(shop.config, 'snapshot', { action: 'copy', tables: 'public.a', where: null }, shop), ['public.a']);
  });

  test('brings back an error with its code and remedy', async (t) => {
    const shop = await world(t);
    listen(t, shop, { snapshot: async () => Promise.reject(new TailraceError('command-refused', 'not now', { remedy: 'later' })) });
    await eventually(() => ask(shop));
    await assert.rejects(askDaemon(shop.config, 'snapshot', { action: 'copy', tables: 'a', where: null }, shop), { code: 'command-refused', message: 'not now', remedy: 'later' });
  });

  test('without a daemon says so, and what to do', async (t) => {
    await assert.rejects(ask(await world(t)), { code: 'daemon-missing', message: 'no daemon runs the pipeline shop on this machine', remedy: /tailrace run/ });
  });

  test('that is of another version is refused in words', async (t) => {
    const shop = await world(t);
    listen(t, shop);
    await eventually(() => ask(shop));
    await assert.rejects(askDaemon(shop.config, 'no-such' as 'status', {}, shop), { code: 'daemon-unreachable', message: /another version/ });
    await assert.rejects(askDaemon(shop.config, 'snapshot', { action: 'none' as 'copy', tables: null, where: null }, shop), { code: 'daemon-unreachable', message: /another version/ });
  });

  test('hears it when the daemon goes before it has answered', async (t) => {
    const shop = await world(t);
    const asked = Promise.withResolvers<void>();
    const server = listen(t, shop, { snapshot: () => (asked.resolve(), new Promise(() => {})) });
    await eventually(() => ask(shop));
    const refused = assert.rejects(askDaemon(shop.config, 'snapshot', { action: 'copy', tables: 'a', where: null }, shop), { code: 'daemon-unreachable' });
    await asked.promise;
    await server.close();
    await refused;
  });

  test('that is endless is not read to its end', async (t) => {
    const shop = await world(t);
    listen(t, shop);
    await eventually(() => ask(shop));
    const long = await postToSocket(shop.place.socket, { path: '/snapshot', body: { tables: ['x'.repeat(20 << 20)] }, timeoutMs: 5000 }).catch((error: NodeJS.ErrnoException) => error.code);
    if (typeof long === 'object') assert.equal(long.status, 400);
    else assert.match(String(long), /EPIPE|ECONNRESET/);
    assert.deepEqual(await ask(shop), status);
  });
});

describe('the socket', () => {
  test('can be opened by its user alone', async (t) => {
    const shop = await world(t);
    listen(t, shop);
    await eventually(() => ask(shop));
    assert.equal((await stat(shop.place.socket)).mode & 0o777, 0o600);
    assert.equal((await stat(shop.place.folder)).mode & 0o777, 0o700);
  });

  test('of a killed daemon is taken over', async (t) => {
    const shop = await world(t);
    await mkdir(shop.place.folder, { mode: 0o700 });
    const dead = spawn(process.execPath, ['-e', 'require("net").createServer().listen(process.argv[1], () => console.log("up"))', shop.place.socket]);
    await once(dead.stdout, 'data');
    dead.kill('SIGKILL');
    await once(dead, 'exit');
    await assert.rejects(ask(shop), { code: 'daemon-missing' });
    listen(t, shop);
    assert.deepEqual(await eventually(() => ask(shop)), status);
  });

  test('of a living daemon is left alone, and had when that one has gone', async (t) => {
    const shop = await world(t);
    const first = listen(t, shop, { status: async () => ({ ...status, state: 'retrying' }) });
    await eventually(() => ask(shop));
    listen(t, shop);
    assert.equal((await ask(shop)).state, 'retrying');
    await first.close();
    assert.equal((await eventually(() => ask(shop))).state, 'streaming');
  });

  test('is gone with its folder when the daemon ends', async (t) => {
    const shop = await world(t);
    const server = listen(t, shop);
    await eventually(() => ask(shop));
    await server.close();
    await assert.rejects(stat(shop.place.folder), { code: 'ENOENT' });
  });

  test('is no one else\'s: a folder that others can write, or a link, is neither used nor asked', async (t) => {
    const open = await world(t);
    await mkdir(open.place.folder);
    await chmod(open.place.folder, 0o777);
    const linked = await world(t);
    await symlink(await tempDirectory(t), linked.place.folder);
    const said: unknown[] = [];
    for (const shop of [open, linked]) {
      const logger = { ...silentLogger, warn: (fields: unknown) => void said.push(fields) };
      const server = new ControlServer(shop.place, { status: async () => status, snapshot: async () => [], log: async () => ({ done: true }) }, logger);
      t.after(() => server.close());
      await eventually(() => said.length > 0);
      assert.match((said.pop() as { err: Error }).err.message, /not a folder that belongs to this user alone/);
      if (process.getuid?.() !== 0) await assert.rejects(ask(shop), { code: 'daemon-unreachable' });
    }
  });

  test('is told by the pipeline and its log, whichever way the file names them', async (t) => {
    const shop = await world(t);
    const link = join(await tempDirectory(t), 'link');
    await symlink(dirname((shop.config.log as { directory: string }).directory), link);
    const same = await world(t, { log: join(link, 'log') });
    const inFolder = (one: World): string => socketPlace(one.config, '/run').socket;
    assert.equal(inFolder(same), inFolder(shop));
    assert.notEqual(inFolder(await world(t)), inFolder(shop), 'another log');
    assert.notEqual(inFolder(await world(t, { name: 'other', log: (shop.config.log as { directory: string }).directory })), inFolder(shop));
  });

  test('has a path that every system takes, or the folder is refused', async (t) => {
    const long = await world(t, { name: 'n'.repeat(40) });
    assert.ok(Buffer.byteLength(socketPlace(long.config, undefined).socket) <= 103);
    assert.throws(() => socketPlace(long.config, `/${'d'.repeat(60)}`), { code: 'usage', message: /TAILRACE_RUNTIME_DIR is too long/ });
  });
});
