import { createServer, type AddressInfo, type Socket } from 'node:net';
import type { Scope } from './postgres.ts';
import { frame, wire } from '../source/postgres/wire-messages.ts';

/**
 * What a server that is told to stop looks like to a session that it has just let in: the login's last message and the end of the session come
 * in one piece. A real one cannot be made to do it at will. Returns its URL.
 */
export async function stoppingServer(scope: Scope): Promise<string> {
  const loggedIn = [frame('R', Buffer.alloc(4)), frame('Z', Buffer.from('I'))];
  const open = new Set<Socket>();
  const server = createServer((socket) => {
    open.add(socket.on('error', () => {}));
    socket.once('data', () => socket.write(Buffer.concat([...loggedIn, wire.error('57P01', 'terminating connection due to administrator command')])));
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  scope.after(async () => {
    for (const socket of open) socket.destroy();
    await new Promise<void>((closed) => server.close(() => closed()));
  });
  return `postgres://who@127.0.0.1:${(server.address() as AddressInfo).port}/any?sslmode=disable`;
}
