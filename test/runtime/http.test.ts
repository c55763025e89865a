import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { TailraceError } from '../../src/runtime/errors.ts';
import { parseHttpAddress, serveHttp, type HttpRoutes, type HttpServer, type HttpTree } from '../../src/runtime/http.ts';
import { silentLogger } from '../../src/runtime/logger.ts';

const routes: HttpRoutes = {
  '/healthz': () => ({ status: 200, json: { status: 'ok' } }),
  '/text': () => ({ status: 200, type: 'text/plain', text: 'hello' }),
  '/broken': () => {
    throw new Error('cannot reach postgres://u:s3cr3t@h/d');
  },
};

async function serve(t: { after(fn: () => Promise<void>): void }): Promise<HttpServer> {
  const server = await serveHttp({ host: '127.0.0.1', port: 0 }, routes, silentLogger);
  t.after(() => server.close());
  return server;
}

const tree: HttpTree = {
  roots: ['names'],
  answer: (parts) => Promise.resolve(parts.includes('none') ? null : { status: 200, json: parts }),
};

interface Answer {
  readonly status: number;
  readonly head: string;
  readonly body: string;
}

/** Bytes as they are, and whatever comes back until the server hangs up. */
function raw(server: HttpServer, bytes: string | Uint8Array): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const socket: Socket = connect(server.address.port, server.address.host);
    let answer = '';
    socket.setEncoding('latin1').setTimeout(10_000, () => socket.destroy(new Error('the server neither answered nor hung up')));
    socket.on('data', (chunk: string) => (answer += chunk));
    // A server that has said no may hang up before it has read everything.
    socket.on('error', (error: NodeJS.ErrnoException) => (['ECONNRESET', 'EPIPE'].includes(error.code ?? '') ? undefined : reject(error)));
    socket.on('close', () => {
      const [head = '', ...body] = answer.split('\r\n\r\n');
      resolve({ status: Number(/^HTTP\/1\.1 (\d+)/.exec(head)?.[1] ?? 0), head, body: body.join('\r\n\r\n') });
    });
    socket.write(bytes);
  });
}

function request(line: string, headers: readonly string[] = ['Host: 127.0.0.1']): string {
  return `${line} HTTP/1.1\r\n${[...headers, 'Connection: close'].join('\r\n')}\r\n\r\n`;
}

describe('the http server', () => {
  test('answers a known path, without letting anyone store or sniff it', async (t) => {
    const answer = await raw(await serve(t), request('GET /healthz'));
    assert.equal(answer.status, 200);
    assert.equal(answer.body, '{"status":"ok"}\n');
    for (const header of ['content-type: application/json', 'cache-control: no-store', 'x-content-type-options: nosniff']) assert.ok(answer.head.toLowerCase().includes(header), header);
    assert.doesNotMatch(answer.head, /access-control/i);
  });
  test('HEAD has the head only, and a query changes nothing', async (t) => {
    const server = await serve(t);
    assert.equal((await raw(server, request('HEAD /text'))).body, '');
    assert.equal((await raw(server, request('GET /text?a=b'))).body, 'hello');
  });

  for (const path of ['/', '/nothing', '/healthz/', '//healthz', '/%68ealthz', '/../healthz', '/%2e%2e/healthz', '/healthz%00', '/__proto__', '/constructor', 'http://127.0.0.1/healthz', '*']) {
    test(`${path} is not there`, async (t) => {
      const answer = await raw(await serve(t), request(`${path === '*' ? 'OPTIONS' : 'GET'} ${path}`));
      assert.equal(answer.status, 404);
      const error = JSON.parse(answer.body) as Record<string, string>;
      assert.deepEqual(Object.keys(error), ['code', 'message', 'path', 'hint']);
      assert.equal(error['code'], 'not-found');
    });
  }
  for (const method of ['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'TRACE']) {
    test(`${method} is not allowed, and says what is`, async (t) => {
      const answer = await raw(await serve(t), request(`${method} /healthz`));
      assert.equal(answer.status, 405);
      assert.match(answer.head, /^allow: GET, HEAD$/im);
    });
  }
  for (const host of ['evil.example', 'evil.example:7717', '127.0.0.1.evil.example', 'localhost.evil', '10.0.0.1', '[::2]', '']) {
    test(`a browser that thinks we are ${JSON.stringify(host)} gets nothing`, async (t) => {
      assert.equal((await raw(await serve(t), request('GET /healthz', [`Host: ${host}`]))).status, 403);
    });
  }
  for (const host of ['localhost', 'LOCALHOST:80', '127.0.0.1:7717', '127.9.9.9', '[::1]:1']) {
    test(`${host} is us`, async (t) => assert.equal((await raw(await serve(t), request('GET /healthz', [`Host: ${host}`]))).status, 200));
  }

  test('what fails inside gives no secret away', async (t) => {
    const answer = await raw(await serve(t), request('GET /broken'));
    assert.equal(answer.status, 500);
    assert.ok(!answer.body.includes('s3cr3t') && answer.body.includes('postgres://***@h/d'));
  });
  test('a body is answered at once and not read to its end', async (t) => {
    const answer = await raw(await serve(t), `POST /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n${'x'.repeat(1000)}`);
    assert.equal(answer.status, 405);
  });

  for (const [title, bytes, status] of [
    ['no http', 'hello\r\n\r\n', 400],
    ['a request without a host', 'GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n', 400],
    ['two lengths', request('POST /healthz', ['Host: localhost', 'Content-Length: 1', 'Content-Length: 2']), 400],
    ['a length and chunks', request('POST /healthz', ['Host: localhost', 'Content-Length: 1', 'Transfer-Encoding: chunked']) + '0\r\n\r\n', 400],
    ['headers beyond 8 KiB', request('GET /healthz', ['Host: localhost', `X: ${'x'.repeat(9000)}`]), 431],
    ['a path beyond 8 KiB', request(`GET /${'x'.repeat(9000)}`), 431],
    ['TLS', Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x0d, 0x0a, 0x0d, 0x0a]), 400],
  ] as const) {
    test(`${title} is refused`, async (t) => assert.equal((await raw(await serve(t), bytes)).status, status));
  }

  test('headers named after the prototype change nothing', async (t) => {
    const server = await serve(t);
    assert.equal((await raw(server, request('GET /healthz', ['Host: localhost', '__proto__: x', 'constructor: y', 'hasOwnProperty: z']))).status, 200);
    assert.equal(({} as { x?: unknown }).x, undefined);
  });

  test('after any bytes at all it still answers', async (t) => {
    const server = await serve(t);
    const words = fc.constantFrom('GET ', 'POST ', '/healthz', ' HTTP/1.1', '\r\n', '\r\n\r\n', 'Host: localhost', 'Transfer-Encoding: chunked', 'Content-Length: 5', 'Expect: 100-continue', 'Upgrade: websocket', 'Connection: upgrade', '__proto__: 1', '\0', 'CONNECT x:1', '0\r\n\r\n');
    const bytes = fc.oneof(fc.uint8Array({ maxLength: 200 }), fc.array(words, { maxLength: 12 }).map((parts) => Buffer.from(parts.join(''))));
    await fc.assert(
      fc.asyncProperty(bytes, async (sent) => {
        // Two line feeds end what could still be waited for.
        await new Promise<void>((resolve) => {
          const socket = connect(server.address.port, server.address.host);
          socket.on('error', () => undefined).on('close', () => resolve());
          socket.end(Buffer.concat([sent, Buffer.from('\r\n\r\n')]));
          socket.resume();
        });
      }),
      { numRuns: 150 },
    );
    assert.equal((await raw(server, request('GET /healthz'))).status, 200);
  });

  test('an address that is taken is named', async (t) => {
    const server = await serve(t);
    await assert.rejects(serveHttp(server.address, routes, silentLogger), (error) => error instanceof TailraceError && error.code === 'http-unavailable' && /another program listens/.test(error.message));
  });
  test('close lets go of open connections', async () => {
    const server = await serveHttp({ host: '127.0.0.1', port: 0 }, routes, silentLogger);
    const socket = connect(server.address.port, '127.0.0.1');
    const closed = new Promise((resolve) => socket.on('error', () => undefined).on('close', resolve));
    await new Promise((resolve) => socket.on('connect', resolve));
    // In the middle of a request: the server would wait for the rest of it.
    await new Promise((resolve) => socket.write('GET /healthz HTTP/1.1\r\n', resolve));
    await server.close();
    await closed;
  });
});

describe('an address to listen on', () => {
  for (const [text, host, port] of [['127.0.0.1:7717', '127.0.0.1', 7717], [':0', '127.0.0.1', 0], ['localhost:65535', 'localhost', 65_535], ['[::1]:80', '::1', 80]] as const) {
    test(`${text} is understood`, () => assert.deepEqual(parseHttpAddress(text, { allowRemote: false }), { host, port }));
  }
  for (const text of ['', '7717', '127.0.0.1', '127.0.0.1:', '127.0.0.1:65536', '127.0.0.1:-1', '127.0.0.1:5.5', '::1:80', 'a b:1', 'http://localhost:1', '127.0.0.1:1/x']) {
    test(`${JSON.stringify(text)} is none`, () => assert.throws(() => parseHttpAddress(text, { allowRemote: true }), /no address to listen on/));
  }
  for (const text of ['0.0.0.0:1', '[::]:1', '192.168.1.1:1', 'example.org:1', '127.evil.org:1']) {
    test(`${text} can be reached by others`, () => {
      assert.throws(() => parseHttpAddress(text, { allowRemote: false }), /can be reached by others/);
      assert.ok(parseHttpAddress(text, { allowRemote: true }));
    });
  }
});

describe('paths below a root', () => {
  const cases: readonly (readonly [path: string, status: number, body?: unknown])[] = [
    ['/names', 200, ['names']],
    ['/names/', 200, ['names']],
    ['/names/a%2Fb%20%22/2?x=/y', 200, ['names', 'a/b "', '2']],
    ['/names/none', 404],
    ['/names/%ff', 404],
    ['/namesake', 404],
    ['//names', 404],
    ['/healthz', 200, { status: 'ok' }],
  ];
  for (const [path, status, body] of cases) {
    test(`${path} is answered with ${status}`, async (t) => {
      const server = await serveHttp({ host: '127.0.0.1', port: 0 }, routes, silentLogger, tree);
      t.after(() => server.close());
      const response = await fetch(`http://127.0.0.1:${server.address.port}${path}`);
      assert.equal(response.status, status);
      if (body !== undefined) assert.deepEqual(await response.json(), body);
      else assert.equal(((await response.json()) as { code: string }).code, 'not-found');
    });
  }

  test('they can only be read', async (t) => {
    const server = await serveHttp({ host: '127.0.0.1', port: 0 }, routes, silentLogger, tree);
    t.after(() => server.close());
    assert.equal((await fetch(`http://127.0.0.1:${server.address.port}/names/a`, { method: 'POST', body: '{}' })).status, 405);
  });
});
