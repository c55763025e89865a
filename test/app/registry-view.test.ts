import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { RegistryView } from '../../src/app/registry-view.ts';
import type { RegisteredSchema } from '../../src/event/table.ts';

const schema = (subject: string, id: number, text = `{"id":${id}}`): RegisteredSchema => ({ registry: 'tailrace', subject, id, schema: text });
const view = new RegistryView([
  { pipeline: 'shop', registered: [schema('shop.b-value', 7), schema('shop.b-key', 9), schema('shop.b-value', 8), schema('shop.b-value', 7)] },
  { pipeline: 'crm', registered: [schema('crm.a-value', 7)] },
]);
const ask = (path: string, of = view): unknown => {
  const reply = of.answer(path.slice(1).split('/'));
  return reply === null ? null : [reply.status, 'json' in reply ? reply.json : reply.text];
};

suite('the registry that Tailrace serves', () => {
  const cases: readonly (readonly [path: string, status: number, json: unknown])[] = [
    ['/subjects', 200, ['crm.a-value', 'shop.b-key', 'shop.b-value']],
    ['/subjects/shop.b-value/versions', 200, [1, 2]],
    ['/subjects/shop.b-value/versions/1', 200, { subject: 'shop.b-value', version: 1, id: 7, schema: '{"id":7}' }],
    ['/subjects/shop.b-value/versions/latest', 200, { subject: 'shop.b-value', version: 2, id: 8, schema: '{"id":8}' }],
    ['/subjects/shop.b-value/versions/2/schema', 200, { id: 8 }],
    ['/subjects/shop.b-value/versions/3', 404, { error_code: 40402, message: 'Version 3 not found.' }],
    ['/subjects/shop.b-value/versions/x', 422, { error_code: 42202, message: 'The specified version \'x\' is not a valid version id.' }],
    ['/subjects/none/versions', 404, { error_code: 40401, message: 'Subject \'none\' not found.' }],
    ['/subjects/__proto__/versions', 404, { error_code: 40401, message: 'Subject \'__proto__\' not found.' }],
    ['/schemas/ids/7', 200, { schema: '{"id":7}' }],
    ['/schemas/ids/8/schema', 200, { id: 8 }],
    ['/schemas/ids/7/subjects', 200, ['shop.b-value', 'crm.a-value']],
    ['/schemas/ids/7/versions', 200, [{ subject: 'shop.b-value', version: 1 }, { subject: 'crm.a-value', version: 1 }]],
    ['/schemas/ids/1', 404, { error_code: 40403, message: 'Schema not found' }],
    ['/schemas/ids/7x', 404, { error_code: 40403, message: 'Schema not found' }],
    ['/schemas/types', 200, ['AVRO']],
    ['/config', 200, { compatibilityLevel: 'NONE' }],
    ['/mode', 200, { mode: 'READONLY' }],
  ];
  for (const [path, status, json] of cases) test(path, () => assert.deepEqual(ask(path), [status, json]));

  for (const path of ['/schemas', '/schemas/ids', '/schemas/ids/7/nothing', '/subjects/shop.b-value', '/subjects/shop.b-value/compatibility', '/config/a/b', '/mode/a'])
    test(`${path} is nothing of the API`, () => assert.equal(ask(path), null));

  test('an id that two pipelines gave to two schemas is an error that names both, never a wrong schema', () => {
    const clashing = new RegistryView([
      { pipeline: 'shop', registered: [schema('shop.b-value', 7), schema('shop.c-value', 8)] },
      { pipeline: 'crm', registered: [schema('crm.a-value', 7, '"string"')] },
    ]);
    const [status, json] = ask('/schemas/ids/7', clashing) as [number, { message: string }];
    assert.equal(status, 500);
    assert.match(json.message, /shop and crm gave the id 7/);
    assert.deepEqual(ask('/schemas/ids/8', clashing), [200, { schema: '{"id":8}' }]);
  });
});
