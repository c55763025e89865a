import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { configJsonSchema } from '../../src/config/json-schema.ts';
import { pipelineSchema } from '../../src/config/pipeline-schema.ts';
import { schemaKeys } from '../../src/config/schema-walk.ts';
import { fillBlock, holdFile } from '../support/held-file.ts';

interface JsonSchema {
  readonly type?: string;
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly default?: unknown;
  readonly items?: JsonSchema;
  readonly oneOf?: readonly JsonSchema[];
  readonly anyOf?: readonly JsonSchema[];
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean | JsonSchema;
  readonly description?: string;
}

const root = JSON.parse(configJsonSchema()) as JsonSchema;
const keys = schemaKeys(pipelineSchema);

describe('the reference of the configuration', () => {
  test('docs/configuration.md has every key of the schema, with its values and its default, and no other', () => {
    holdFile('docs/configuration.md', (page) => fillBlock(page, 'keys', tables(root).join('\n\n')));
  });

  test('every key says what it is for', () => {
    const silent = keys.filter(({ name, path }) => name !== 'type' && descriptionAt(root, path) === undefined).map(({ path, type }) => `${path} (${type})`);
    assert.deepEqual(silent, []);
  });

  test('the JSON Schema and the checks know the same keys', () => {
    const listed = tables(root).join('\n');
    for (const { path } of keys) assert.ok(listed.includes(`\`${shortPath(path)}\``), path);
  });

  test('docs/tailrace.schema.json is what tailrace schema prints', () => {
    holdFile('docs/tailrace.schema.json', () => `${configJsonSchema()}\n`);
  });

  test('the JSON Schema refuses unknown keys everywhere', () => {
    const open: string[] = [];
    walk(root, '', (schema, path) => {
      if (schema.properties !== undefined && schema.additionalProperties !== false) open.push(path);
    });
    assert.deepEqual(open, []);
  });
});

/** A chapter for the pipeline itself and one for each type of source, log and sink. */
function tables(schema: JsonSchema): readonly string[] {
  const chapters = [chapter('The pipeline', schema, ['source', 'log', 'streams', 'jobs', 'sinks'])];
  for (const [key, title] of [['source', 'source'], ['log', 'log'], ['format', 'format'], ['sinks', 'sinks']] as const) {
    const part = schema.properties?.[key];
    const options = part?.anyOf?.find(({ oneOf }) => oneOf !== undefined) ?? part?.items ?? part;
    for (const option of options?.oneOf ?? []) {
      if (Object.keys(option.properties ?? {}).length === 1) continue;
      chapters.push(chapter(`${title}: type: ${String(option.properties?.['type']?.const)}`, option, []));
    }
  }
  for (const list of ['streams', 'jobs']) chapters.push(chapter(list, schema.properties?.[list]?.items ?? {}, []));
  return chapters;
}

function chapter(title: string, schema: JsonSchema, skip: readonly string[]): string {
  const rows = rowsOf(schema, '', skip).map((row) => `| ${row.join(' | ')} |`);
  return `### ${title}\n\n| key | value | default | |\n|---|---|---|---|\n${rows.join('\n')}`;
}

function rowsOf(schema: JsonSchema, prefix: string, skip: readonly string[]): readonly (readonly string[])[] {
  // What one writes first stands first.
  const order = (name: string): number => ['type', 'name'].indexOf(name) >>> 0;
  const entries = Object.entries(schema.properties ?? {}).sort(([a], [b]) => order(a) - order(b));
  return entries.flatMap(([name, value]) => {
    const path = `${prefix}${name}`;
    const initial = skip.includes(name) || value.const !== undefined ? 'required' : value.default === undefined ? (schema.required?.includes(name) ? 'required' : '') : code(value.default);
    const own = [`\`${path}\``, kind(value), initial, (value.description ?? '').replaceAll('|', '\\|')];
    if (skip.includes(name)) return [[own[0] ?? '', 'see below', value.type === 'array' ? '`[]`' : 'required', own[3] ?? '']];
    if (value.oneOf !== undefined) return [own, ...choiceRows(value.oneOf, path)];
    const below = typeof value.additionalProperties === 'object' ? rowsOf(value.additionalProperties, `${path}.<table>.`, []) : rowsOf(value, `${path}.`, []);
    return [own, ...below];
  });
}

/** A map of several types inside a chapter: its types in one row, then each type's own keys. */
function choiceRows(options: readonly JsonSchema[], path: string): readonly (readonly string[])[] {
  const types = options.map((option) => code(option.properties?.['type']?.const)).join(', ');
  const others = options.flatMap((option) => {
    const { type, ...properties } = option.properties ?? {};
    return rowsOf({ ...option, properties }, `${path}.`, []).map((row) => [row[0] ?? '', row[1] ?? '', row[2] ?? '', `With \`type: ${String(type?.const)}\`: ${row[3]}`]);
  });
  return [[`\`${path}.type\``, types, 'required', ''], ...others];
}

function kind(schema: JsonSchema): string {
  if (schema.oneOf !== undefined) return 'map';
  if (schema.const !== undefined) return code(schema.const);
  if (schema.anyOf !== undefined) return `${schema.anyOf.map(kind).filter((each) => each !== '').join(', or ')}, or a map`;
  if (schema.enum !== undefined) return schema.enum.map(code).join(', ');
  if (schema.type === 'array') return `list of ${schema.items === undefined ? 'anything' : kind(schema.items)}`;
  if (typeof schema.additionalProperties === 'object') return `map of ${kind(schema.additionalProperties)}`;
  return { object: 'map', string: 'text', boolean: '`true`, `false`', integer: 'whole number' }[schema.type ?? ''] ?? schema.type ?? '';
}

function code(value: unknown): string {
  return `\`${typeof value === 'string' ? value : JSON.stringify(value)}\``;
}

/** As it stands in the tables: without the part that the chapter says. */
function shortPath(path: string): string {
  return path.replace(/^(source|log|format|streams\[\]|jobs\[\]|sinks\[\])\./, '');
}

function descriptionAt(schema: JsonSchema, path: string): string | undefined {
  let found: string | undefined;
  walk(schema, '', (at, here) => {
    if (here === path) found ??= at.description;
  });
  return found;
}

function walk(schema: JsonSchema, path: string, visit: (schema: JsonSchema, path: string) => void): void {
  visit(schema, path);
  for (const option of [...(schema.oneOf ?? []), ...(schema.anyOf ?? [])]) walk(option, path, visit);
  if (schema.items !== undefined) walk(schema.items, `${path}[]`, visit);
  if (typeof schema.additionalProperties === 'object') walk(schema.additionalProperties, `${path}.<table>`, visit);
  for (const [name, value] of Object.entries(schema.properties ?? {})) walk(value, path === '' ? name : `${path}.${name}`, visit);
}
