import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parsePipeline } from '../../src/config/load.ts';
import { formatProblem, sourceFile, type ConfigProblem } from '../../src/config/source-file.ts';

const canary = 's3cr3t-CANARY';
const environment = { SOURCE: `postgres://cdc:${canary}@db/shop`, EMPTY: '', NUMBER: '5' };

/** A file that is right, and what of it each case replaces. */
const right = `name: shop
source:
  type: postgres
  url: \${SOURCE}
log:
  type: embedded
  directory: ./data/shop
sinks:
  - name: local
    type: sqlite
    path: ./shop.sqlite
`;

function problemsOf(text: string): readonly ConfigProblem[] {
  return parsePipeline(sourceFile('shop.yaml', text), environment).problems;
}

/** Line, column, path and what the message must say, as `4:8 source.url: not set`. */
const table: readonly { readonly title: string; readonly text: string; readonly says: readonly RegExp[] }[] = [
  { title: 'an empty file', text: '', says: [/^shop.yaml:1:1: the file is empty/] },
  { title: 'nothing but comments', text: '# nothing\n', says: [/^shop.yaml:1:1: the file is empty/] },
  { title: 'a tab that indents', text: 'name: shop\nsource:\n\ttype: postgres\n', says: [/^shop.yaml:3:1: a tab cannot indent[^]*use spaces/] },
  { title: 'a quote that is not closed, at the place where it opens', text: 'name: "shop\nsource: x\n', says: [/^shop.yaml:1:7: the quote/] },
  { title: 'a key twice, with both lines', text: `${right}name: other\n`, says: [/^shop.yaml:12:1 name: .*second time; the first is on line 1/] },
  { title: 'two documents in one file', text: `${right}---\n${right}`, says: [/^shop.yaml:12:1: a second document/] },
  { title: 'a list where a map belongs', text: '- a\n', says: [/^shop.yaml:1:1: expected a map of keys, got a list/] },
  { title: 'text where a map belongs', text: 'hello\n', says: [/^shop.yaml:1:1: expected a map of keys, got the text/] },
  { title: 'a number as a name', text: right.replace('shop\n', '1.10\n'), says: [/^shop.yaml:1:7 name: expected a text, got the number 1.10[^]*in quotes: "1.10"/] },
  { title: 'a switch as a name', text: right.replace('shop\n', 'true\n'), says: [/^shop.yaml:1:7 name: expected a text, got the boolean true/] },
  { title: 'null as a name', text: right.replace('shop\n', '~\n'), says: [/^shop.yaml:1:7 name: expected a text, but there is nothing here/] },
  { title: 'a name without a value', text: right.replace(' shop\n', '\n'), says: [/name: expected a text, but there is nothing here/] },
  { title: 'a name with a dot', text: right.replace('shop\n', 'my.shop\n'), says: [/^shop.yaml:1:7 name: .*lower-case letter/] },
  { title: 'an octal number', text: right.replace('hello', '').replace('shop\n', '0777\n'), says: [/^shop.yaml:1:7 name: the number 0777 has a leading zero/] },
  { title: 'a misspelt key', text: right.replace('source:', 'souce:'), says: [/source: missing/, /^shop.yaml:2:1 souce: unknown key souce, did you mean source\?/] },
  { title: 'a right key at the wrong level', text: `${right}slot: mine\n`, says: [/^shop.yaml:12:1 slot: unknown key slot[^]*it belongs at source.slot/] },
  { title: 'a missing key, at the map that lacks it', text: right.replace(/ {2}url.*\n/, ''), says: [/^shop.yaml:2:1 source.url: missing/] },
  { title: 'a missing type, with the choice', text: right.replace('    type: sqlite\n', ''), says: [/sinks\[0\].type: missing: one of postgres, sqlite/] },
  { title: 'a misspelt choice, with the nearest', text: right.replace('type: sqlite', 'type: sqlit'), says: [/^shop.yaml:10:11 sinks\[0\].type: not one of postgres, sqlite \(sqlit\)[^]*did you mean sqlite\?/] },
  { title: 'an unknown format, with the choice', text: `${right}format: xml\n`, says: [/^shop.yaml:12:9 format: not one of tuple, json, avro/] },
  { title: 'an unknown format in a map, with the choice', text: `${right}format: { type: xml }\n`, says: [/^shop.yaml:12:17 format.type: not one of tuple, json, avro/] },
  { title: 'a format that is neither a name nor a map', text: `${right}format: [json]\n`, says: [/^shop.yaml:12:9 format: not one of tuple, json, avro/] },
  { title: 'an unknown key of a format', text: `${right}format: { type: json, pretty: true }\n`, says: [/^shop.yaml:12:23 format.pretty: unknown key pretty/] },
  { title: 'a map where a list belongs', text: right.replace(/sinks:[^]*/, 'sinks: {}\n'), says: [/sinks: expected a list, got a map of keys/] },
  { title: 'items that are no maps', text: right.replace(/sinks:[^]*/, 'sinks: [a, null]\n'), says: [/sinks\[0\]: expected a map of keys, got the text a/, /sinks\[1\]: .*nothing here/] },
  { title: 'two sinks of one name, with both lines', text: `${right}  - { name: local, type: sqlite, path: ./b }\n`, says: [/^shop.yaml:12:\d+ sinks\[1\].name: .*on line 9/] },
  { title: 'a compacted stream in a log that keeps everything', text: `${right}streams: [{ name: s, module: ./s.ts, cleanup: compact }]\n`, says: [/^shop.yaml:12:47 streams\[0\].cleanup: .*this log keeps everything[^]*set log.retention/] },
  { title: 'a stream in shards in a log of one process', text: `${right}streams: [{ name: s, module: ./s.ts, shards: 4 }]\n`, says: [/^shop.yaml:12:46 streams\[0\].shards: .*this log is one process's[^]*leave shards out/] },
  { title: 'a stream of a stream that is not there', text: `${right}streams: [{ name: sales, module: ./s.ts }, { name: b, module: ./s.ts, from: sale }]\n`, says: [/streams\[1\].from: there is no stream sale in this pipeline, did you mean sales\?/] },
  { title: 'a stream in shards that reads a stream', text: `${right.replace(/type: embedded\n.*\n/, 'type: kafka\n  brokers: [a:9092]\n')}streams: [{ name: a, module: ./s.ts }, { name: s, module: ./s.ts, shards: 4, from: a }]\n`, says: [/streams\[1\].from: a stream in shards reads captured tables/] },
  { title: 'a stream in shards that sets rows aside', text: `${right.replace(/type: embedded\n.*\n/, 'type: kafka\n  brokers: [a:9092]\n')}streams: [{ name: s, module: ./s.ts, shards: 4, on_error: dead-letter }]\n`, says: [/streams\[0\].on_error: every shard would set the same row aside/] },
  { title: 'a compacted stream on Kafka', text: `${right.replace(/type: embedded\n.*\n/, 'type: kafka\n  brokers: [a:9092]\n')}streams: [{ name: s, module: ./s.ts, cleanup: compact }]\n`, says: [/streams\[0\].cleanup: Kafka's brokers compact without knowing[^]*topics create --config cleanup.policy=compact/] },
  { title: 'an empty text', text: right.replace('./data/shop', '""'), says: [/^shop.yaml:7:14 log.directory: must not be empty/] },
  ...['63kB', '5000GB', '512', '64 MB', 'much'].map((memory) => ({
    title: `memory that no server takes: ${memory}`, text: right.replace(/^( {2}url.*)$/m, `$1\n  logical_decoding_work_mem: "${memory}"`),
    says: [/^shop.yaml:5:30 source.logical_decoding_work_mem: expected an amount of memory as Postgres writes it, 64kB or more: 512MB/],
  })),
  { title: 'an unset variable, by name and place', text: right.replace('${SOURCE}', '${DB_PASS}'), says: [/^shop.yaml:4:8 source.url: the environment variable DB_PASS is not set[^]*\$\{DB_PASS:-…\}/] },
  { title: 'a variable in another case', text: right.replace('${SOURCE}', '${source}'), says: [/source is not set[^]*SOURCE is set/] },
  { title: 'an empty variable, by name', text: right.replace('./data/shop', '${EMPTY}'), says: [/log.directory: empty, because EMPTY is/] },
  { title: 'a reference in a reference', text: right.replace('${SOURCE}', '${A:-${B}}'), says: [/reference inside a reference/, /B is not set/] },
  { title: 'a reference that is not closed', text: right.replace('${SOURCE}', '${SOURCE'), says: [/has no closing \}/] },
  { title: 'a reference that is none', text: right.replace('${SOURCE}', '${1A}'), says: [/no reference to an environment variable/] },
  { title: 'an inherited name of objects as a variable', text: right.replace('${SOURCE}', '${constructor}'), says: [/constructor is not set/] },
  { title: 'a reference whose brace ends a flow map', text: right.replace('./data/shop', 'x\n  a: [${SOURCE}]'), says: [/put "\$\{NAME\}" in quotes/] },
  { title: 'a tag that would run code', text: right.replace('shop\n', '!!js/function "x"\n'), says: [/name: the tag tag:yaml.org,2002:js\/function is not known/] },
  { title: 'an include', text: right.replace('shop\n', '!include /etc/passwd\n'), says: [/name: the tag !include is not known/] },
  { title: 'an alias without an anchor', text: right.replace('shop\n', '*shop\n'), says: [/name: there is no anchor &shop/] },
  { title: 'an alias that contains itself', text: right.replace('shop\n', '&a [*a]\n'), says: [/name: expected a text/, /the alias \*a contains itself/] },
  { title: 'a merge key', text: right.replace('  type: embedded', '  <<: { type: embedded }'), says: [/log.type: missing/, /^shop.yaml:6:3 log.<<|log."<<": merge keys/] },
  { title: 'keys that would reach a prototype', text: `${right}__proto__: { polluted: 1 }\nconstructor: { prototype: { polluted: 1 } }\n`, says: [/__proto__: unknown key/, /constructor: unknown key/] },
  { title: 'a key that is a list', text: `? [a]\n: b\n${right}`, says: [/a key must be a plain name/] },
  { title: 'a NUL byte', text: right.replace('shop', 'sh\0op'), says: [/^shop.yaml:1:9: there is a NUL byte/] },
  { title: 'nesting without end', text: `name: ${'['.repeat(100)}${']'.repeat(100)}`, says: [/nested more than 40 levels deep/] },
  { title: 'nesting that would overflow the stack', text: '[ '.repeat(20_000), says: [/not closed|too deeply/] },
];

describe('bad YAML', () => {
  test('the file that the cases are made from is right', () => assert.deepEqual(problemsOf(right), []));

  test('streams in a circle are told, each with its way round, and none that only reads one of them', () => {
    const text = `${right}streams: [{ name: a, module: ./s.ts, from: c }, { name: b, module: ./s.ts, from: a }, { name: c, module: ./s.ts, from: b }, { name: d, module: ./s.ts, from: a }]\n`;
    const way = (own: string): string => `the stream reads its own results, by way of ${own}`;
    assert.deepEqual(problemsOf(text).map(({ path, message }) => [path, message]), [['streams[0].from', way('c and b')], ['streams[1].from', way('a and c')], ['streams[2].from', way('b and a')]]);
  });

  for (const { title, text, says } of table) {
    test(`${title} is told with its place`, () => {
      const told = problemsOf(text).map(formatProblem);
      for (const pattern of says) {
        assert.ok(told.some((message) => new RegExp(pattern.source, 'm').test(message)), `${String(pattern)} is not in:\n${told.join('\n\n')}`);
      }
      assert.ok(!told.join('\n').includes(canary), 'a value from the environment is never printed');
    });
  }

  for (const [title, text] of [
    ['behind a misspelt key', `${right}pasword: ${canary}\n`],
    ['of the environment that does not fit', right.replace('name: shop', 'name: ${BAD}')],
    ['of the environment that is none of the choices', `${right}format: \${BAD}\n`],
    ['of the wrong type behind a key of secrets', right.replace('${SOURCE}', '90125')],
    ['of the wrong kind behind a key of secrets', right.replace('${SOURCE}', `[${canary}]`)],
    ['in a file that is no YAML', right.replace('${SOURCE}', `"postgres://u:${canary}@h/d`)],
    ['in a text that is not closed', `${right}password: '${canary}\n`],
  ] as const) {
    test(`a value ${title} is not printed`, () => {
      const problems = parsePipeline(sourceFile('shop.yaml', text), { ...environment, BAD: `No ${canary}` }).problems;
      assert.ok(problems.length > 0);
      const told = problems.map(formatProblem).join('\n');
      assert.ok(!told.includes(canary) && !told.includes('90125'), told);
    });
  }

  test('all problems of a file are told in one run, in the order of its lines', () => {
    const text = right.replace('name: shop', 'name: Shop').replace('${SOURCE}', '${NOPE}').replace('path: ./shop.sqlite', 'pth: x');
    assert.deepEqual(problemsOf(text).map(({ path }) => path), ['name', 'source.url', 'sinks[0].path', 'sinks[0].pth']);
  });

  test('the caret stands under the place', () => {
    const [problem] = problemsOf(right.replace('type: sqlite', 'type: sqlit'));
    assert.equal(problem?.excerpt, '   10 |     type: sqlit\n                  ^');
  });

  test('a billion laughs are refused at once and with the place', () => {
    const levels = 'abcdefghi'.split('').map((name, i, all) => `${name}: &${name} [${Array(9).fill(i === 0 ? 'ha' : `*${all[i - 1]}`).join(',')}]`);
    const before = process.memoryUsage().heapUsed;
    const [problem] = problemsOf(levels.join('\n'));
    assert.match(problem?.message ?? '', /more than 10000 values/);
    assert.ok(process.memoryUsage().heapUsed - before < 100e6);
  });

  test('no input reaches a prototype', () => {
    problemsOf('__proto__: { polluted: true }\nsource: { __proto__: { polluted: true }, type: postgres }\n');
    assert.equal(({} as { polluted?: unknown }).polluted, undefined);
  });

  test('YAML 1.2 counts: on, NO and dates are text', () => {
    for (const word of ['on', 'no', 'yes']) assert.deepEqual(problemsOf(right.replace('name: shop', `name: ${word}`)), []);
  });
});
