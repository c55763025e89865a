import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import { eventually } from './wait.ts';
import { TcpProxy } from './tcp-proxy.ts';

async function echoThroughProxy(t: TestContext): Promise<{ proxy: TcpProxy; client: Socket; received: () => string }> {
  const echo = createServer((socket) => socket.on('error', () => {}).pipe(socket));
  await new Promise<void>((done) => echo.listen(0, '127.0.0.1', done));
  const proxy = await TcpProxy.start({ host: '127.0.0.1', port: (echo.address() as AddressInfo).port });
  const client = connect(proxy.port, '127.0.0.1');
  let text = '';
  client.on('data', (chunk) => (text += chunk.toString())).on('error', () => {});
  t.after(async () => {
    client.destroy();
    await proxy.close();
    await new Promise((done) => echo.close(done));
  });
  await once(client, 'connect');
  return { proxy, client, received: () => text };
}

test('bytes come through in order, whatever the pieces', async (t) => {
  const { proxy, client, received } = await echoThroughProxy(t);
  proxy.randomChunks(7, 42);
  const sent = Array.from({ length: 500 }, (_, n) => String(n)).join(',');
  client.write(sent);
  await eventually(() => received().length === sent.length, { what: 'the echo' });
  assert.equal(received(), sent);
});

test('a blackhole swallows one direction and leaves the connection open', async (t) => {
  const { proxy, client, received } = await echoThroughProxy(t);
  proxy.blackhole('down');
  client.write('lost');
  await eventually(() => proxy.swallowed.down === 4, { what: 'the swallowed echo' });
  proxy.blackhole('both', false);
  client.write('kept');
  await eventually(() => received() === 'kept', { what: 'the second echo' });
});

test('a reset ends open connections, a refusal new ones', async (t) => {
  const { proxy, client } = await echoThroughProxy(t);
  client.write('x');
  await eventually(() => proxy.forwarded.down === 1);
  proxy.reset();
  await eventually(() => client.destroyed, { what: 'the client to see the reset' });
  proxy.refuse();
  await assert.rejects(once(connect(proxy.port, '127.0.0.1'), 'close'), { code: 'ECONNRESET' });
  assert.equal(proxy.connections, 2);
});

test('behind a text nothing is sent until it is let go; what was sent with it has come', async (t) => {
  const { proxy, client, received } = await echoThroughProxy(t);
  const held = proxy.holdAfter('COMMIT');
  client.write('BEGIN COMMIT');
  await eventually(() => received() === 'BEGIN COMMIT', { what: 'the echo' });
  client.write(' and on');
  const goOn = await held;
  assert.equal(proxy.forwarded.up, 'BEGIN COMMIT'.length);
  goOn();
  await eventually(() => received() === 'BEGIN COMMIT and on', { what: 'the rest' });
});
