import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { isIP, type Socket } from 'node:net';
import { TailraceError } from './errors.ts';
import { describeError, type Logger } from './logger.ts';
import { createServer } from './node-http.ts';
import { shortened } from './printable.ts';

export interface HttpAddress {
  readonly host: string;
  readonly port: number;
}

/** What a route answers: `json` by default, or text of another type. */
export type HttpReply = { readonly status: number; readonly json: unknown } | { readonly status: number; readonly type: string; readonly text: string };

/** Exact paths; nothing takes a body, a query or a parameter, so that there is nothing to inject. */
export type HttpRoutes = Readonly<Record<string, () => HttpReply | Promise<HttpReply>>>;

/** Paths below some first parts, for what has names of its own. Its parts come decoded; null where there is nothing. */
export interface HttpTree {
  readonly roots: readonly string[];
  answer(parts: readonly string[]): Promise<HttpReply | null>;
}

export interface HttpServer {
  /** As bound, with the port that port 0 became. */
  readonly address: HttpAddress;
  close(): Promise<void>;
}

/**
 * `127.0.0.1:7717`, `localhost:0`, `[::1]:7717`, `:7717`. What is served needs no login, so that an address which others can
 * reach is refused unless `allowRemote` says that the network is trusted: in a container, for example.
 */
export function parseHttpAddress(text: string, options: { readonly allowRemote: boolean }): HttpAddress {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9.-]*)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port > 65_535) throw new TailraceError('usage', `${shortened(text, 60)} is no address to listen on`, { remedy: 'write host:port, for example 127.0.0.1:7717' });
  const host = (match[1] ?? match[2]) || '127.0.0.1';
  if (!isLoopback(host) && !options.allowRemote) {
    throw new TailraceError('usage', `${host} can be reached by others, and what is served there needs no login`, {
      remedy: 'listen on 127.0.0.1, or add --http-allow-remote where the network is trusted',
    });
  }
  return { host, port };
}

/** Serves GET and HEAD until it is closed. Throws `http-unavailable` when the address can't be had. */
export async function serveHttp(address: HttpAddress, routes: HttpRoutes, logger: Logger, tree?: HttpTree): Promise<HttpServer> {
  const known = new Map(Object.entries(routes));
  const checkHost = isLoopback(address.host);
  const server = createServer({ maxHeaderSize: 8192, headersTimeout: 5000, requestTimeout: 10_000, keepAliveTimeout: 5000, connectionsCheckingInterval: 2000 });
  server.maxHeadersCount = 64;
  server.maxConnections = 64;
  server.maxRequestsPerSocket = 1000;
  server.setTimeout(15_000);
  server.on('request', (request, response) => {
    answer(request, response, { known, tree, checkHost }).catch((error: unknown) => {
      logger.error({ err: error }, 'an http request failed');
      response.destroy();
    });
  });
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => {
    // Nothing of a request that did not parse is repeated, neither here nor in the log.
    const status = error.code === 'HPE_HEADER_OVERFLOW' ? 431 : error.code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 408 : 400;
    if (socket.writable) socket.end(rawReply(status));
    else socket.destroy();
  });
  const bound = await listen(server, address);
  return { address: bound, close: () => closeServer(server) };
}

interface Known {
  readonly known: ReadonlyMap<string, HttpRoutes[string]>;
  readonly tree: HttpTree | undefined;
  readonly checkHost: boolean;
}

async function answer(request: IncomingMessage, response: ServerResponse, { known, tree, checkHost }: Known): Promise<void> {
  const path = (request.url ?? '').split('?', 1)[0] ?? '';
  const problem = (status: number, code: string, message: string, hint: string): void => {
    send(request, response, { status, json: { code, message, path: shortened(path, 200), hint } });
  };
  // A web page that made its own name point to 127.0.0.1 sends that name: it is not for us (DNS rebinding).
  if (checkHost && !isLoopback(hostOnly(request.headers.host ?? ''))) return problem(403, 'wrong-host', 'this server answers to localhost only', 'use http://127.0.0.1');
  const route = known.get(path) ?? below(tree, path);
  const nothing = (): void => problem(404, 'not-found', 'there is nothing here', `try ${[...known.keys()].join(', ')}`);
  if (route === undefined) return nothing();
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.setHeader('allow', 'GET, HEAD');
    return problem(405, 'method-not-allowed', 'this can only be read', 'use GET');
  }
  try {
    const reply = await route();
    if (reply === null) nothing();
    else send(request, response, reply);
  } catch (error) {
    const { message } = describeError(error) as { message?: string };
    problem(500, 'internal', message ?? 'this failed', 'see the log');
  }
}

/** The tree's answer, if the path begins with one of its roots and is not wrongly encoded. */
function below(tree: HttpTree | undefined, path: string): (() => Promise<HttpReply | null>) | undefined {
  if (tree === undefined || !path.startsWith('/')) return undefined;
  try {
    const parts = path.slice(1).replace(/\/$/, '').split('/').map(decodeURIComponent);
    return tree.roots.includes(parts[0] ?? '') ? () => tree.answer(parts) : undefined;
  } catch {
    return undefined;
  }
}

function send(request: IncomingMessage, response: ServerResponse, reply: HttpReply): void {
  const body = 'text' in reply ? reply.text : `${JSON.stringify(reply.json)}\n`;
  response.statusCode = reply.status;
  response.setHeader('content-type', 'text' in reply ? reply.type : 'application/json; charset=utf-8');
  response.setHeader('content-length', Buffer.byteLength(body));
  response.setHeader('cache-control', 'no-store');
  response.setHeader('x-content-type-options', 'nosniff');
  response.setHeader('content-security-policy', "default-src 'none'");
  // No request needs a body: one that brings it is answered and hung up on, not read to its end.
  if (request.headers['content-length'] !== undefined || request.headers['transfer-encoding'] !== undefined) response.setHeader('connection', 'close');
  response.end(request.method === 'HEAD' ? undefined : body);
}

const reasons: Readonly<Record<number, string>> = { 400: 'Bad Request', 408: 'Request Timeout', 431: 'Request Header Fields Too Large' };

function rawReply(status: number): string {
  const body = `${JSON.stringify({ code: 'bad-request', message: 'this is not a request that can be answered', path: '', hint: 'use GET' })}\n`;
  return `HTTP/1.1 ${status} ${reasons[status] ?? ''}\r\ncontent-type: application/json; charset=utf-8\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n${body}`;
}

function listen(server: Server, { host, port }: HttpAddress): Promise<HttpAddress> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const why = error.code === 'EADDRINUSE' ? 'another program listens there' : (error.code ?? error.message);
      reject(new TailraceError('http-unavailable', `cannot listen on ${host}:${port}: ${why}`));
    });
    server.listen({ host, port, exclusive: true }, () => {
      const bound = server.address();
      resolve({ host, port: typeof bound === 'object' && bound !== null ? bound.port : port });
    });
  });
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}

function hostOnly(header: string): string {
  const match = /^(?:\[([^\]]*)\]|([^:]*))(?::\d{1,5})?$/.exec(header);
  return match?.[1] ?? match?.[2] ?? '';
}

function isLoopback(host: string): boolean {
  return host.toLowerCase() === 'localhost' || (isIP(host) === 4 && host.startsWith('127.')) || host === '::1';
}
