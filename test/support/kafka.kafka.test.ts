import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { test } from 'node:test';
import { sharedKafka, startKafka } from './kafka.ts';

const kafka = await sharedKafka();

test('the shared broker takes connections', { skip: kafka.missing ?? false }, async () => {
  for (const address of kafka.brokers) assert.ok(await reachable(address), address);
});

test('a broker of one\'s own comes back on its data after a kill', async (t) => {
  const cluster = await startKafka(t);
  const [broker] = cluster?.brokers ?? [];
  if (broker === undefined) return;
  assert.ok(await reachable(broker.address));
  await broker.kill();
  assert.equal(await reachable(broker.address), false);
  await broker.start();
  assert.ok(await reachable(broker.address));
});

function reachable(address: string): Promise<boolean> {
  const [host = '', port = ''] = address.split(':');
  return new Promise((done) => {
    const socket = connect(Number(port), host, () => done(true));
    socket.once('error', () => done(false));
    socket.once('connect', () => socket.destroy());
  });
}
