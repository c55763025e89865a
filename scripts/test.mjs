// `npm test`: types, lint and every test, with one closing line `N passed, N failed`.
// `npm test -- test/log crash.test.ts` runs the tests under or named like these; `-t PATTERN` those with such a title.
import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { delimiter, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { enableCompileCache } from '../bin/compile-cache.mjs';
import { endWithParent, handOver } from '../bin/hand-over.mjs';
import { isNewEnough, nodeOfCheckout, packageRoot, whatIsNeeded } from '../bin/find-node.mjs';

// One more than the cores of a small machine: with two, a fifth of their time was nobody's, because tests wait for timeouts and restarts.
const CONCURRENCY = 3;
const TEST_DEADLINE_MS = 5 * 60_000;
// Slow ones first, so that the workers end at about the same time. In front of them one whose daemons end in good order: only such a
// one leaves its compiled code to those that follow (bin/compile-cache.mjs), which start with 0.7 s less CPU each.
const FIRST = ['test/e2e/main-job', 'test/crash/', 'test/e2e/'];

endWithParent();
if (isNewEnough(process.version)) await main(process.argv.slice(2));
else onNewerNode();

/** The shell of `npm test` may still know the older Node that ran the set-up. */
function onNewerNode() {
  const node = nodeOfCheckout();
  if (node !== undefined) return handOver(node, [fileURLToPath(import.meta.url), ...process.argv.slice(2)]);
  process.stderr.write(`${whatIsNeeded()}\n`);
  process.exit(3);
}

async function main(args) {
  process.chdir(packageRoot);
  enableCompileCache();
  process.env.PATH = [join(packageRoot, 'node_modules', '.bin'), process.env.PATH].join(delimiter);
  const { Tally, Reporter } = await import('./reporter.mjs');
  const tally = new Tally();
  const { patterns, title } = parse(args);
  if (patterns.length === 0 && title === undefined) await runChecks(tally);
  const files = testFiles(patterns);
  if (files.length === 0) {
    process.stdout.write(`FAILED   no test file matches ${patterns.join(' ')}\n`);
    tally.failed += 1;
  } else {
    try {
      await runTests(files, title, new Reporter({ tally, root: packageRoot, ci: process.env.CI === 'true' }));
    } catch (error) {
      // Whatever happens, the closing line comes: here the Postgres of the run did not start.
      process.stdout.write(`FAILED   the run itself\n${error.message}\n`);
      tally.failed += 1;
    }
  }
  process.stdout.write(`\n${tally.line()}\n`);
  process.exit(tally.failed > 0 ? 1 : 0);
}

function parse(args) {
  const at = args.indexOf('-t');
  if (at === -1) return { patterns: args, title: undefined };
  return { patterns: args.filter((_, n) => n !== at && n !== at + 1), title: args[at + 1] };
}

async function runChecks(tally) {
  for (const [name, command, ...args] of [
    ['typecheck', 'tsc', '--noEmit'],
    ['lint', 'oxlint', '--type-aware', '--deny-warnings'],
  ]) {
    const began = Date.now();
    const { code, output } = await runCommand(command, args);
    const seconds = `${((Date.now() - began) / 1000).toFixed(1)} s`;
    if (code === 0) tally.passed += 1;
    else tally.failed += 1;
    process.stdout.write(code === 0 ? `ok       ${name}  ${seconds}\n` : `FAILED   ${name}  ${seconds}\n${output}\n`);
  }
}

function runCommand(command, args) {
  return new Promise((done) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk));
    child.on('error', (error) => done({ code: 1, output: error.message }));
    child.on('close', (code) => done({ code, output }));
  });
}

/** A pattern is a file, a folder, or a part of a path. */
function testFiles(patterns) {
  const all = readdirSync('test', { recursive: true })
    .filter((file) => file.endsWith('.test.ts'))
    .map((file) => `test/${file}`)
    .sort();
  const wanted = patterns.map((pattern) => relative(packageRoot, resolve(pattern)));
  const chosen = all.filter(
    (file) => patterns.length === 0 || patterns.some((p, n) => file.includes(p) || file.startsWith(`${wanted[n]}/`)),
  );
  const rank = (file) => [...FIRST, ''].findIndex((start) => file.startsWith(start));
  return chosen.sort((a, b) => rank(a) - rank(b));
}

async function runTests(files, title, reporter) {
  const { run } = await import('node:test');
  const servers = await sharedServers(files);
  const stopped = new AbortController();
  const stop = () => stopped.abort();
  process.on('SIGINT', stop).on('SIGTERM', stop);
  try {
    const options = {
      files: files.map((file) => resolve(file)),
      concurrency: CONCURRENCY,
      timeout: TEST_DEADLINE_MS,
      signal: stopped.signal,
      execArgv: ['--import', new URL('test-deadline.mjs', import.meta.url).href],
    };
    await reporter.consume(run(title === undefined ? options : { ...options, testNamePatterns: [title] }));
  } finally {
    for (const server of servers) await server.remove();
  }
}

/** At once, because each takes its seconds. */
async function sharedServers(files) {
  const started = await Promise.allSettled([sharedServer(files), sharedKafka(files)]);
  const servers = started.flatMap(({ value }) => value ?? []);
  const failed = started.find(({ status }) => status === 'rejected');
  if (failed === undefined) return servers;
  for (const server of servers) await server.remove();
  throw failed.reason;
}

/** One Postgres for all files of the run: each takes databases of its own in it (test/support/postgres.ts). */
async function sharedServer(files) {
  if (!files.some((file) => file.includes('.pg.'))) return undefined;
  const { startEmbeddedPostgres } = await import('../src/cli/demo/embedded-postgres.ts');
  // Files run side by side, and each may hold several slots at a time.
  const settings = { max_replication_slots: '60', max_wal_senders: '60', max_connections: '200' };
  const server = await startEmbeddedPostgres({ settings });
  process.env.TAILRACE_TEST_PG = server.url();
  return server;
}

/** One Kafka for all files of the run: each takes topics of its own in it (test/support/kafka.ts). */
async function sharedKafka(files) {
  if (!files.some((file) => file.includes('.kafka.'))) return undefined;
  const { BROKERS_VARIABLE, startSharedKafka } = await import('../test/support/shared-kafka.ts');
  if (process.env[BROKERS_VARIABLE]) return undefined;
  const kafka = await startSharedKafka();
  // Where there is none, each file finds that out by itself, and says why as it skips its tests.
  if (kafka.missing !== undefined) return undefined;
  process.env[BROKERS_VARIABLE] = kafka.brokers.join(',');
  return kafka;
}
