// Loaded into every test file: one that hangs, or whose tests left something running, ends and says what it waits for.
import { after } from 'node:test';

const FILE_DEADLINE_MS = 10 * 60_000;
const LINGER_MS = 30_000;

endIfAlive(FILE_DEADLINE_MS, 'did not end');
after(() => endIfAlive(LINGER_MS, 'its tests are over, but something that they started is not'));
// Nothing is left to wait for; whoever else listens for the end has begun to before. Node's own way out has been seen to spin for
// ever (src/main.ts), where no timer fires any more.
process.once('beforeExit', () => process.once('exit', () => process.exit()));

/** The timer itself keeps nothing alive: it fires only in a process that would not end by itself. */
function endIfAlive(milliseconds, what) {
  const end = () => {
    process.stderr.write(`${what} after ${milliseconds / 1000} s; active: ${process.getActiveResourcesInfo().join(', ')}\n`);
    process.exit(1);
  };
  setTimeout(end, milliseconds).unref();
}
