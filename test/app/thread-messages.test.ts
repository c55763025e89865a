import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { appenderOver, serveAppends } from '../../src/app/job-port.ts';
import { outputsOver, serveOutputs } from '../../src/app/stream-port.ts';
import { reporterOver, serveReporter } from '../../src/app/thread-messages.ts';

const draft = { key: null, value: new Uint8Array([1]) };

test('a report over a port is refused where the publisher refuses it, is under way when the publisher ends, or comes behind its end', { timeout: 10_000 }, async () => {
  const { port1, port2 } = new MessageChannel();
  const reporter = reporterOver(port2);
  const taken: string[] = [];
  const reached = Promise.withResolvers<void>();
  serveReporter(port1, async (topic) => {
    taken.push(topic);
    if (taken.length === 2) throw new Error('the disk is full');
    if (taken.length < 3) return;
    reached.resolve();
    await new Promise(() => {});
  });
  await reporter.append('sink', draft);
  await assert.rejects(reporter.append('dead-letter', draft), { code: 'log-unwritable', message: /the disk is full/ });
  const underWay = reporter.append('sink', draft);
  await reached.promise;
  port1.close();
  await assert.rejects(underWay, { code: 'log-unwritable', message: /has ended/ });
  await assert.rejects(reporter.append('sink', draft), { code: 'log-unwritable', message: /has ended/ });
  assert.deepEqual(taken, ['sink', 'dead-letter', 'sink']);
});

test("a stream's and a job's question over a port are refused when the publisher ends, and behind its end", { timeout: 10_000 }, async () => {
  const never = (): Promise<never> => new Promise(() => {});
  const ended = { code: 'log-unwritable', message: /has ended/ };
  for (const [serve, asks] of [
    [(port: MessagePort) => serveOutputs(port, never), (port: MessagePort) => outputsOver(port).open],
    [(port: MessagePort) => serveAppends(port, never), (port: MessagePort) => appenderOver(port).bind(null, 'a', [])],
  ] as const) {
    const { port1, port2 } = new MessageChannel();
    serve(port1);
    const ask = asks(port2) as (of?: unknown) => Promise<unknown>;
    const underWay = ask();
    setImmediate(() => port1.close());
    await assert.rejects(underWay, ended);
    await assert.rejects(ask(), ended);
  }
});
