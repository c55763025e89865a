// Counts and prints what node:test reports: a line a file, each failed test with its error, each skipped one with its
// reason. Counts leaves: a test that only holds other tests is no test of its own, unless it fails by itself.
import { relative } from 'node:path';
import { inspect } from 'node:util';

/** Reasons a test may be skipped for even where CI=true: each is something that some machines rightly lack. */
export const ALLOWED_SKIPS = ['docker:', 'platform:'];
const KEPT_OUTPUT_BYTES = 20_000;

export class Tally {
  passed = 0;
  failed = 0;
  skipped = 0;

  line() {
    return `${this.passed} passed, ${this.failed} failed${this.skipped > 0 ? `, ${this.skipped} skipped` : ''}`;
  }
}

export class Reporter {
  #tally;
  #root;
  #ci;
  #write;
  /** By the file that was run, which is not always the one that a test stands in: { passed, failed, skipped, output, deepest } */
  #files = new Map();

  constructor({ tally, root, ci, write = (text) => process.stdout.write(text) }) {
    this.#tally = tally;
    this.#root = root;
    this.#ci = ci;
    this.#write = write;
  }

  /** Takes the events of `run()` of node:test, in the order of its stream. */
  async consume(events) {
    for await (const { type, data } of events) {
      if (type === 'test:pass') this.#onPass(data);
      else if (type === 'test:fail') this.#onFail(data);
      else if (type === 'test:stdout' || type === 'test:stderr') this.#onOutput(data);
      else if (type === 'test:summary' && data.file !== undefined) this.#onFileEnd(data);
      // Warnings of the runner about one file, such as an exception after its last test.
      else if (type === 'test:diagnostic' && data.file !== undefined && /^(Error|Warning):/.test(data.message))
        this.#onOutput(data);
    }
  }

  #onPass(data) {
    const file = this.#file(data.entryFile ?? data.file);
    const held = this.#heldOthers(file, data);
    if (data.skip !== undefined && data.skip !== false) return this.#onSkip(data, file, data.skip);
    if (data.todo !== undefined && data.todo !== false) return this.#onSkip(data, file, `todo: ${data.todo}`);
    // node:test reports a file without a single test as one that passed.
    if (this.#isFile(data)) return this.#fail(file, this.#name(data.file), 'holds no test, or ended before its first one');
    if (held || data.details.type === 'suite') return;
    file.passed += 1;
    this.#tally.passed += 1;
  }

  #onFail(data) {
    const file = this.#file(data.entryFile ?? data.file);
    this.#heldOthers(file, data);
    const error = data.details.error;
    // The failed test within has been counted and shown.
    if (error?.failureType === 'subtestsFailed') return;
    const where = this.#isFile(data) ? this.#name(data.file) : `${this.#name(data.file)}:${data.line}  ${data.name}`;
    this.#fail(file, where, describe(error, file.failed > 0));
    // It ended as a whole, maybe after its last line here, so what it said is not shown elsewhere.
    if (this.#isFile(data)) this.#showOutput(file);
  }

  #onSkip(data, file, reason) {
    const said = typeof reason === 'string' && reason !== '' ? reason : '(no reason given)';
    const where = `${this.#name(data.file)}:${data.line}  ${data.name}`;
    if (this.#ci && !ALLOWED_SKIPS.some((word) => said.startsWith(word))) {
      return this.#fail(file, where, `skipped, which CI does not allow for this reason: ${said}`);
    }
    file.skipped += 1;
    this.#tally.skipped += 1;
    this.#write(`SKIPPED  ${where}: ${said}\n`);
  }

  #fail(file, where, why) {
    file.failed += 1;
    this.#tally.failed += 1;
    this.#write(`FAILED   ${where}\n${why.replace(/^/gm, '         ')}\n`);
  }

  #onOutput(data) {
    const file = this.#file(data.entryFile ?? data.file);
    file.output = (file.output + data.message).slice(-KEPT_OUTPUT_BYTES);
  }

  #onFileEnd(data) {
    const file = this.#file(data.entryFile ?? data.file);
    if (file.failed > 0) this.#showOutput(file);
    // A file without a test: its failure follows.
    if (file.passed + file.failed + file.skipped === 0) return;
    const counts = `${file.passed} passed${file.failed > 0 ? `, ${file.failed} failed` : ''}${file.skipped > 0 ? `, ${file.skipped} skipped` : ''}`;
    this.#write(
      `${file.failed > 0 ? 'failed ' : 'ok     '}  ${this.#name(data.file)}  ${counts}  ${(data.duration_ms / 1000).toFixed(1)} s\n`,
    );
  }

  #showOutput(file) {
    if (file.output.trim() !== '')
      this.#write(`         its output:\n${file.output.trimEnd().replace(/^/gm, '         | ')}\n`);
    file.output = '';
  }

  /** Children come before their parent, one level deeper: so a test that follows a deeper one holds it. */
  #heldOthers(file, { nesting }) {
    const held = file.deepest > nesting;
    file.deepest = nesting;
    return held;
  }

  #isFile(data) {
    return data.nesting === 0 && this.#name(data.name) === this.#name(data.file);
  }

  #file(path) {
    let file = this.#files.get(path);
    if (file === undefined) {
      file = { passed: 0, failed: 0, skipped: 0, output: '', deepest: 0 };
      this.#files.set(path, file);
    }
    return file;
  }

  #name(path) {
    return path.startsWith('/') ? relative(this.#root, path) : path;
  }
}

function describe(error, fileHasFailures) {
  if (error?.code !== 'ERR_TEST_FAILURE') return inspect(error);
  // For a file as a whole: its tests have said why, or its output does.
  if (error.exitCode !== undefined)
    return `ended with exit code ${error.exitCode}${fileHasFailures ? '' : ' outside of its tests'}`;
  return typeof error.cause === 'string' ? error.cause : withoutInternals(error.cause);
}

/** The stack lines of node itself say nothing about ours; the fields of an AssertionError stand in its message already. */
function withoutInternals(cause) {
  const text = cause?.code === 'ERR_ASSERTION' ? cause.stack : inspect(cause, { breakLength: 120 });
  return text.replace(/^ +at .*\(node:internal\/.*\n?/gm, '').trimEnd();
}
