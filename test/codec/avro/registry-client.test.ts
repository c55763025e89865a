import assert from 'node:assert/strict';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { suite, test } from 'node:test';
import { parsePipeline } from '../../../src/config/load.ts';
import { formatProblem, sourceFile } from '../../../src/config/source-file.ts';
import { avroCodecConfig, type RegistryConfig } from '../../../src/codec/avro/config.ts';
import { RegistryClient } from '../../../src/codec/avro/registry-client.ts';
import { RemoteRegistrar } from '../../../src/codec/avro/remote-registrar.ts';
import type { TailraceError } from '../../../src/runtime/errors.ts';

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

/** What real registries answer rightly is tested on a real one (test/interop); here are the answers that it cannot be made to give. */
async function answering(t: { after(fn: () => void): void }, handler: Handler, more: Partial<Record<'username' | 'password' | 'token', string>> = {}): Promise<RemoteRegistrar> {
  const server = createServer((request, response) => {
    request.resume();
    request.on('end', () => handler(request, response));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/apis/ccompat/v7/`;
  return new RemoteRegistrar(new RegistryClient(avroCodecConfig.parse({ registry: { url, ...more } }).registry as RegistryConfig));
}

const json = (status: number, body: unknown): Handler => (_request, response) => response.writeHead(status).end(typeof body === 'string' ? body : JSON.stringify(body));
const wanted = { subject: 'shop.public.a-b-value', schema: '"string"' };

const failures: readonly (readonly [what: string, handler: Handler, code: string, message: RegExp])[] = [
  ['a login that is refused', json(401, { error_code: 401, message: 'Unauthorized' }), 'registry-refused', /refuses the login.*status 401/],
  ['a right that is missing', json(403, {}), 'registry-refused', /status 403/],
  ['a registry in trouble', json(503, { error_code: 50003, message: 'no leader' }), 'registry-unreachable', /status 503: no leader/],
  ['one that asks for patience', json(429, {}), 'registry-unreachable', /status 429/],
  ['another server altogether', json(404, '<html>'), 'registry-refused', /does not answer as a schema registry does \(status 404\)/],
  ['an answer without an id', json(200, {}), 'registry-refused', /does not answer as a schema registry does/],
  ['an id that is no number', json(200, { id: '7' }), 'registry-refused', /does not answer/],
  ['a page in place of JSON', json(200, '<html>'), 'registry-refused', /does not answer/],
  ['a connection that breaks', (request) => void request.socket.destroy(), 'registry-unreachable', /ECONNRESET|socket hang up/],
];

suite('a schema registry that does not do as it should', () => {
  for (const [what, handler, code, message] of failures) {
    test(what, async (t) => {
      const registrar = await answering(t, handler);
      await assert.rejects(registrar.register(wanted, []), (error: TailraceError) => {
        assert.equal(error.code, code);
        assert.match(error.message, message);
        return true;
      });
    });
  }

  test('nobody there', async () => {
    const registrar = new RemoteRegistrar(new RegistryClient(avroCodecConfig.parse({ registry: { url: 'http://127.0.0.1:1' } }).registry as RegistryConfig));
    await assert.rejects(registrar.register(wanted, []), { code: 'registry-unreachable', message: /127\.0\.0\.1:1 cannot be reached: ECONNREFUSED/ });
    await assert.rejects(registrar.check(), { code: 'registry-unreachable' });
  });

  test('a refusal names the subject, and each field that changed', async (t) => {
    const row = (fields: readonly object[]): string => JSON.stringify({ type: 'record', name: 'Envelope', fields: [{ name: 'before', type: ['null', { type: 'record', name: 'Value', fields }] }] });
    const older = row([{ name: 'id', type: ['null', 'int'] }, { name: 'price', type: ['null', 'double'] }, { name: 'note', type: ['null', 'string'] }]);
    const newer = row([{ name: 'id', type: ['null', 'int'] }, { name: 'price', type: ['null', 'string'] }, { name: 'extra', type: ['null', 'int'] }]);
    const registrar = await answering(t, (request, response) => {
      if (request.method === 'POST') json(409, { error_code: 409, message: 'Schema being registered is incompatible' })(request, response);
      else json(200, { subject: wanted.subject, version: 1, id: 1, schema: older })(request, response);
    });
    await assert.rejects(registrar.register({ ...wanted, schema: newer }, []), (error: TailraceError) => {
      assert.equal(error.code, 'schema-refused');
      assert.match(error.message, /shop\.public\.a-b-value; against the latest version there, field price was \["null","double"\] and is \["null","string"\]; field extra is new \(\["null","int"\]\); field note is gone: Schema being/);
      assert.match(error.remedy, /PUT \/config\/shop\.public\.a-b-value/);
      return true;
    });
  });

  test('what is known is not asked for; the same text of another subject or registry is', async (t) => {
    let asked = 0;
    const registrar = await answering(t, (request, response) => {
      asked++;
      json(200, { id: 4 })(request, response);
    });
    const first = await registrar.register(wanted, []);
    assert.deepEqual([first.id, first.subject, first.registry.endsWith('/apis/ccompat/v7'), asked], [4, wanted.subject, true, 1]);
    assert.deepEqual(await registrar.register(wanted, [first]), first);
    assert.equal(asked, 1);
    await registrar.register({ ...wanted, subject: 'other' }, [first]);
    await registrar.register(wanted, [{ ...first, registry: 'tailrace' }]);
    assert.equal(asked, 3);
  });

  for (const [more, header] of [[{ username: 'ann', password: 'p:w' }, `Basic ${Buffer.from('ann:p:w').toString('base64')}`], [{ token: 't0k' }, 'Bearer t0k'], [{}, undefined]] as const) {
    test(`it is asked ${header === undefined ? 'without a login' : `as ${header.split(' ')[0]}`}, under the path of its API`, async (t) => {
      let seen: IncomingMessage | undefined;
      const registrar = await answering(t, (request, response) => {
        seen = request;
        json(200, { id: 1 })(request, response);
      }, more);
      await registrar.register({ ...wanted, subject: 'a/b c' }, []);
      assert.equal(seen?.url, '/apis/ccompat/v7/subjects/a%2Fb%20c/versions');
      assert.equal(seen?.headers.authorization, header);
    });
  }
});

suite('format.registry in the file', () => {
  const problems = (registry: string): string =>
    parsePipeline(sourceFile('shop.yaml', `name: shop\nsource: { type: postgres, url: "postgres://u:p@h/d" }\nlog: { type: embedded, directory: ./d }\nformat:\n  type: avro\n  registry: ${registry}\n`), {}).problems.map(formatProblem).join('\n');
  const cases: readonly (readonly [registry: string, says: RegExp])[] = [
    ['{ url: "http://localhost:8081" }', /^$/],
    ['{ url: "http://localhost:8081", username: u, password: p }', /^$/],
    ['{ url: "localhost:8081" }', /format\.registry\.url: a Schema Registry speaks HTTP[^]*write http/],
    ['{ url: "nonsense" }', /format\.registry\.url: no URL/],
    ['{ url: "http://ann:s3cr3t@localhost" }', /format\.registry\.url: a login does not belong here[^]*username and password/],
    ['{ url: "http://localhost/?a=b" }', /more than the base/],
    ['{ url: "http://localhost", username: u }', /format\.registry\.password: missing[^]*write password/],
    ['{ url: "http://localhost", username: u, password: p, token: t }', /format\.registry\.token: a token stands in place/],
    ['{ url: "http://localhost", tls: { cert: ./a } }', /format\.registry\.tls\.key: missing[^]*write key/],
    ['{ uri: "http://localhost" }', /format\.registry\.url: missing/],
  ];
  for (const [registry, says] of cases) {
    test(registry, () => {
      assert.match(problems(registry), says);
      assert.doesNotMatch(problems(registry), /s3cr3t/);
    });
  }
});
