import { setTimeout as delay } from 'node:timers/promises';
import { encodeControl } from './control-json.ts';
import type { Step } from './end-follower.ts';
import type { SinkReporter } from './sink-start.ts';

/** Milliseconds between two reports. */
const interval = 1000;
/** The report before a stop waits for the log no longer than this. */
const lastWithin = 2000;

/** Says in the sink's topic where its replica is, for retention, status and verify. */
export class PositionReports {
  readonly #reporter: SinkReporter;
  #said: Step | null = null;
  #saidAt = 0;

  constructor(reporter: SinkReporter) {
    this.#reporter = reporter;
  }

  /** `step` is the last one that the replica itself knows of; nothing is said of one twice, nor soon after another. */
  async say(step: Step | null, after = interval): Promise<void> {
    if (step === null || step === this.#said || Date.now() - this.#saidAt < after) return;
    this.#said = step;
    this.#saidAt = Date.now();
    const { startId, epoch, commitLsn, endLsn } = step.end;
    const value = encodeControl({ type: 'position', startId, epoch, commitLsn, endLsn, offset: step.offset });
    await this.#reporter.append('sink', { key: null, value });
  }

  /** Status and verify of a stopped pipeline have nothing else. A log that is away does not hold the stop up for it. */
  async sayBeforeStop(step: Step | null): Promise<void> {
    await Promise.race([this.say(step, 0).catch(() => undefined), delay(lastWithin, undefined, { ref: false })]);
  }
}
