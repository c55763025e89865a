import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, request as openRequest } from './node-http.ts';

/** What a path does with the JSON that was posted to it; what it returns is the answer, as JSON. */
export type SocketHandler = (body: unknown) => Promise<unknown>;

export interface SocketServerOptions {
  /** By path, for POST. A path that is not here is answered with 404. */
  readonly handlers: Readonly<Record<string, SocketHandler>>;
  /** What is sent, with 409, for an error that a handler throws. */
  readonly describe: (error: unknown) => unknown;
}

export interface SocketServer {
  close(): Promise<void>;
}

export interface SocketReply {
  readonly status: number;
  readonly json: unknown;
}

/** Records to be written come in a request, the largest that a log takes by default in base64; a whole table does not. */
const longestBody = 16 << 20;

/**
 * JSON over HTTP on a Unix domain socket: who may open the socket's file may ask. Nothing of it can be reached by a network or
 * a web page. The socket must not exist: throws what `listen` says (EADDRINUSE).
 */
export async function serveSocket(path: string, options: SocketServerOptions): Promise<SocketServer> {
  const server = createServer({ maxHeaderSize: 8192, headersTimeout: 5000, requestTimeout: 10_000, connectionsCheckingInterval: 2000 });
  server.maxConnections = 64;
  server.on('request', (request, response) => {
    answer(request, response, options).catch(() => response.destroy());
  });
  server.on('clientError', (_error, socket) => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ path, exclusive: true }, resolve);
  });
  return {
    close: () => new Promise((resolve) => {
      // Node removes the socket's file with it. Who still waits for an answer hears that there is none.
      server.close(() => resolve());
      server.closeAllConnections();
    }),
  };
}

async function answer(request: IncomingMessage, response: ServerResponse, { handlers, describe }: SocketServerOptions): Promise<void> {
  const path = request.url ?? '';
  const handler = Object.hasOwn(handlers, path) ? handlers[path] : undefined;
  if (handler === undefined || request.method !== 'POST') return send(response, { status: 404, json: null });
  const body = await readJson(request);
  if (body === undefined) return send(response, { status: 400, json: null });
  try {
    send(response, { status: 200, json: await handler(body) });
  } catch (error) {
    send(response, { status: 409, json: describe(error) });
  }
}

function send(response: ServerResponse, { status, json }: SocketReply): void {
  // One request a connection: who is done goes, and a server that closes waits for nobody.
  response.writeHead(status, { 'content-type': 'application/json; charset=utf-8', connection: 'close' });
  response.end(JSON.stringify(json ?? null));
}

/** Asks a server on a socket. Throws what `connect` says: ENOENT, ECONNREFUSED, EACCES; ECONNRESET when it dies meanwhile. */
export function postToSocket(socketPath: string, { path, body, timeoutMs }: { path: string; body: unknown; timeoutMs: number }): Promise<SocketReply> {
  const text = Buffer.from(JSON.stringify(body));
  return new Promise((resolve, reject) => {
    const request = openRequest({
      socketPath, path, method: 'POST', agent: false, signal: AbortSignal.timeout(timeoutMs),
      headers: { 'content-type': 'application/json', 'content-length': text.length },
    });
    request.once('error', reject);
    request.once('response', (response) => {
      readJson(response, Infinity).then((json) => resolve({ status: response.statusCode ?? 0, json }), reject);
    });
    request.end(text);
  });
}

/** undefined: it is none, or too long. */
async function readJson(message: IncomingMessage, limit = longestBody): Promise<unknown> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of message as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > limit) return undefined;
    chunks.push(chunk);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8')) as unknown;
  } catch {
    return undefined;
  }
}
