import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import type { SourceItem } from '../../../src/event/change.ts';
import { ReplicationStream, type ReplicationStreamOptions } from '../../../src/source/postgres/replication-stream.ts';
import { eventually } from '../../support/wait.ts';
import { wire } from './wire-messages.ts';

interface Status {
  readonly positions: readonly bigint[];
  readonly asks: boolean;
}

/** The server's side of a replication connection, in our hands. */
class FakeServer {
  readonly socket: Socket;
  received: Buffer = Buffer.alloc(0);
  ended = false;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk) => (this.received = Buffer.concat([this.received, chunk])));
    socket.on('error', () => {});
    socket.on('close', () => (this.ended = true));
  }

  send(...messages: readonly Uint8Array[]): void {
    this.socket.write(Buffer.concat(messages));
  }

  /** Messages behind the query, by type. */
  get messages(): { readonly type: string; readonly body: Buffer }[] {
    const found = [];
    for (let at = 0; at + 5 <= this.received.length; ) {
      const length = this.received.readUInt32BE(at + 1);
      found.push({ type: String.fromCharCode(this.received[at] as number), body: this.received.subarray(at + 5, at + 1 + length) });
      at += 1 + length;
    }
    return found;
  }

  get statuses(): Status[] {
    return this.messages.filter((message) => message.type === 'd').map(({ body }) => ({
      positions: [1, 9, 17].map((at) => body.readBigUInt64BE(at)),
      asks: body[33] === 1,
    }));
  }
}

const defaults: ReplicationStreamOptions = { maxQueueBytes: 1 << 20, statusIntervalMs: 10_000, silenceMs: 60_000 };

async function started(t: TestContext, options: Partial<ReplicationStreamOptions> = {}): Promise<{ server: FakeServer; stream: ReplicationStream }> {
  const listener = createServer();
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const accepted = once(listener, 'connection') as Promise<[Socket]>;
  const client = connect((listener.address() as AddressInfo).port, '127.0.0.1');
  const server = new FakeServer((await accepted)[0]);
  const stream = new ReplicationStream(client, { ...defaults, ...options });
  t.after(() => {
    stream.fail(new Error('the test is over'));
    server.socket.destroy();
    listener.close();
  });
  const starting = stream.start('START_REPLICATION');
  await eventually(() => server.messages.some(({ type, body }) => type === 'Q' && body.toString() === 'START_REPLICATION\0'));
  server.send(wire.started);
  await starting;
  return { server, stream };
}

async function collect(stream: ReplicationStream): Promise<{ items: SourceItem[]; error: unknown }> {
  const items: SourceItem[] = [];
  try {
    for await (const batch of stream.batches(async ({ relid, schema, name }) => ({ relid, schema, name, columns: [], key: [], replicaIdentity: 'full' as const }))) items.push(...batch);
  } catch (error) {
    return { items, error };
  }
  return { items, error: null };
}

test('what the server answers to START_REPLICATION is thrown with its SQLSTATE', async (t) => {
  const listener = createServer((socket) => socket.write(wire.error('55006', 'replication slot is active')));
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const stream = new ReplicationStream(connect((listener.address() as AddressInfo).port, '127.0.0.1'), defaults);
  t.after(() => listener.close());
  await assert.rejects(stream.start('START_REPLICATION'), { code: '55006', message: 'replication slot is active' });
  stream.fail(new Error('over'));
});

test('written, flushed and applied are the acknowledged position, and never one past it', async (t) => {
  const { server, stream } = await started(t);
  stream.acknowledge(0x1_0000_0040n);
  await eventually(() => server.statuses.length === 1);
  assert.deepEqual(server.statuses[0], { positions: [0x1_0000_0040n, 0x1_0000_0040n, 0x1_0000_0040n], asks: false });
});

test('an acknowledgement never goes back, and many go out as one', async (t) => {
  const { server, stream } = await started(t);
  for (const position of [10n, 30n, 20n, 25n]) stream.acknowledge(position);
  await eventually(() => server.statuses.length > 0);
  await stream.close();
  assert.deepEqual(new Set(server.statuses.map(({ positions }) => positions[0])), new Set([30n]));
  assert.equal(server.statuses.length, 2, 'one for the acknowledgements, one at the end');
});

test('a keepalive that asks is answered at once, with the acknowledged position, while nobody pulls', async (t) => {
  // The timer's own updates are out of the way.
  const { server, stream } = await started(t, { statusIntervalMs: 3_600_000 });
  stream.acknowledge(7n);
  await eventually(() => server.statuses.length === 1);
  server.send(wire.keepalive(1000n, true));
  await eventually(() => server.statuses.length === 2);
  assert.deepEqual(server.statuses[1]?.positions, [7n, 7n, 7n]);
});

test('a keepalive that asks in the middle of other messages is answered when it is decoded', async (t) => {
  const { server, stream } = await started(t, { statusIntervalMs: 3_600_000 });
  server.send(wire.keepalive(1000n, true), wire.keepalive(1001n));
  void collect(stream);
  await eventually(() => server.statuses.length === 1);
});

test('status updates go out by a timer, also while the socket is not read', async (t) => {
  const { server, stream } = await started(t, { statusIntervalMs: 30, maxQueueBytes: 1 });
  server.send(wire.keepalive(1n));
  await eventually(() => server.statuses.length >= 3);
  stream.acknowledge(9n);
  await eventually(() => server.statuses.at(-1)?.positions[0] === 9n);
});

test('a silent server is asked, and then given up', async (t) => {
  const { server, stream } = await started(t, { statusIntervalMs: 50, silenceMs: 200 });
  const { error } = await collect(stream);
  assert.equal((error as { code?: string }).code, 'source-unreachable');
  assert.match(String(error), /nothing was heard/);
  assert.ok(server.statuses.some(({ asks }) => asks));
  await eventually(() => server.ended, { what: 'the end of the connection' });
});

test('a server that answers is not given up', async (t) => {
  const { server, stream } = await started(t, { statusIntervalMs: 20, silenceMs: 100 });
  server.socket.on('data', () => server.send(wire.keepalive(1n)));
  const collecting = collect(stream);
  await eventually(() => server.statuses.filter(({ asks }) => asks).length > 5);
  stream.stop();
  assert.equal((await collecting).error, null);
});

test('what is not read cannot be silent: back-pressure is no reason to give up', async (t) => {
  const { server, stream } = await started(t, { statusIntervalMs: 20, silenceMs: 60, maxQueueBytes: 1 });
  server.send(wire.keepalive(1n));
  await eventually(() => server.statuses.length > 10);
  assert.equal(server.statuses.some(({ asks }) => asks), false);
  stream.stop();
  const { items, error } = await collect(stream);
  assert.deepEqual([items.length, error], [1, null]);
});

test('what was read is yielded before the loss of the connection is thrown', async (t) => {
  const { server, stream } = await started(t);
  server.send(wire.begin(1n, 1), wire.commit(1n, 2n), wire.keepalive(3n));
  server.socket.end();
  const { items, error } = await collect(stream);
  assert.deepEqual(items.map((item) => item.op), ['begin', 'commit', 'keepalive']);
  assert.equal((error as { code?: string }).code, 'source-unreachable');
});

for (const [sqlstate, code] of [
  ['57P01', 'source-unreachable'], ['53100', 'source-unreachable'], ['57014', 'source-unreachable'], ['40001', 'source-unreachable'],
  ['28P01', 'source-refused'], ['42501', 'source-refused'], ['42704', 'source-not-ready'], ['58P01', 'slot-lost'],
  ['XX000', 'source-unreadable'], ['22021', 'source-unreadable'], ['0A000', 'source-failed'],
] as const) {
  test(`SQLSTATE ${sqlstate} in the stream is ${code}`, async (t) => {
    const { server, stream } = await started(t);
    server.send(wire.error(sqlstate, 'the message'));
    const { error } = await collect(stream);
    assert.equal((error as { code?: string }).code, code);
  });
}

test('what cannot be decoded is source-unreadable', async (t) => {
  const { server, stream } = await started(t);
  server.send(wire.begin(1n, 1), wire.unknown);
  const { error } = await collect(stream);
  assert.equal((error as { code?: string }).code, 'source-unreadable');
});

test('rows behind a Relation wait for the look-up, those before it do not', async (t) => {
  const { server, stream } = await started(t);
  server.send(wire.begin(1n, 1), wire.relation(1, 'a', []), wire.insert(1, []), wire.commit(1n, 2n));
  let answer: (shape: null) => void = () => {};
  const batches = stream.batches(() => new Promise((resolve) => (answer = resolve)))[Symbol.asyncIterator]();
  const first = await batches.next();
  assert.deepEqual(first.value?.map((item) => item.op), ['begin']);
  const second = batches.next();
  answer(null);
  await eventually(() => true);
  answer(null);
  assert.deepEqual((await second).value?.map((item) => item.op), ['commit']);
});

test('close sends the last position, ends the copy in order, and does not wait for a server that does not answer', async (t) => {
  const { server, stream } = await started(t);
  stream.acknowledge(5n);
  await stream.close();
  await eventually(() => server.ended);
  assert.deepEqual(server.messages.map(({ type }) => type), ['Q', 'd', 'c']);
  assert.deepEqual(server.statuses[0]?.positions, [5n, 5n, 5n]);
});

test('close ends a consumer that waits', async (t) => {
  const { server, stream } = await started(t);
  server.socket.on('data', (chunk) => {
    if (chunk.includes(0x63)) server.send(Uint8Array.of(0x63, 0, 0, 0, 4));
  });
  const collecting = collect(stream);
  await stream.close();
  assert.deepEqual(await collecting, { items: [], error: null });
});
