import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { HeaderReader, HeaderWriter, headerSize, startIdBytes, startIdText, TransactionKey } from '../../src/pipeline/record-header.ts';
import { TailraceError } from '../../src/runtime/errors.ts';

/** Plain objects, as literals make them. */
function object<T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> {
  return fc.record(model, { noNullPrototype: true });
}

const uint32 = fc.integer({ min: 0, max: 2 ** 32 - 1 });
const startId = fc.uint8Array({ minLength: 8, maxLength: 8 });
const lsn = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const header = object({
  codec: fc.integer({ min: 0, max: 255 }), startId, epoch: uint32, commitLsn: lsn, op: fc.constantFrom('c', 'u', 'd', 'r', 't', 'm' as const),
  ordinal: fc.maxSafeNat(), version: object({ epoch: uint32, number: uint32 }),
  partial: fc.boolean(), half: fc.constantFrom('whole', 'old', 'new' as const), before: fc.nat({ max: 50 }),
});

const damaged = (error: unknown): boolean => error instanceof TailraceError && error.code === 'log-damaged';

test('every field of a record header is read as it was written, wherever the header lies', () => {
  fc.assert(fc.property(header, header, (one, other) => {
    const reader = new HeaderReader();
    // One writer and one reader serve many records.
    const writer = new HeaderWriter(one.codec);
    for (const fields of [one, other]) {
      writer.begin(fields.startId, fields.epoch, fields.commitLsn);
      writer.change(fields.op, fields.ordinal, fields.version, fields);
      const bytes = new Uint8Array(fields.before + headerSize + 3).fill(0xee);
      bytes.set(writer.bytes, fields.before);
      reader.reset({ bytes, start: fields.before, end: fields.before + headerSize });
      const read = {
        codec: reader.codec, startId: reader.startId, epoch: reader.epoch, commitLsn: reader.commitLsn, op: reader.op, half: reader.half,
        ordinal: reader.ordinal, version: { epoch: reader.schemaEpoch, number: reader.schemaNumber },
      };
      const { epoch, commitLsn, op, half, ordinal, version } = fields;
      assert.deepEqual(read, { codec: one.codec, startId: startIdText(fields.startId), epoch, commitLsn, op, half, ordinal, version });
      assert.equal((bytes[fields.before + 3] as number) & 1, fields.partial ? 1 : 0);
    }
  }));
});

test('a record is of a transaction only if START id and commit LSN are the same', () => {
  const bytesOf = (id: Uint8Array, commitLsn: bigint): HeaderReader => {
    const writer = new HeaderWriter(1);
    writer.begin(id, 3, commitLsn);
    writer.change('c', 0, { epoch: 1, number: 1 }, { partial: false, half: 'whole' });
    return new HeaderReader().reset({ bytes: writer.bytes, start: 0, end: headerSize });
  };
  fc.assert(fc.property(startId, lsn, fc.nat({ max: 15 }), fc.integer({ min: 1, max: 255 }), (id, commitLsn, at, flip) => {
    const key = new TransactionKey().set(startIdText(id), commitLsn);
    assert.ok(bytesOf(id, commitLsn).isOf(key));
    // Any one byte of either makes it another's.
    const otherId = Buffer.from(id);
    const otherLsn = Buffer.alloc(8);
    otherLsn.writeBigUInt64BE(commitLsn);
    const target = at < 8 ? otherId : otherLsn;
    target[at % 8] = (target[at % 8] as number) ^ flip;
    assert.ok(!bytesOf(otherId, otherLsn.readBigUInt64BE()).isOf(key));
  }));
});

test('a header of an unknown version is refused, and so is one of another length', () => {
  const writer = new HeaderWriter(1);
  writer.begin(startIdBytes('00112233445566aa'), 1, 1n);
  writer.change('c', 0, { epoch: 1, number: 1 }, { partial: false, half: 'whole' });
  const bytes = Uint8Array.from(writer.bytes);
  const slice = { bytes, start: 0, end: headerSize };
  assert.equal(new HeaderReader().reset(slice).op, 'c');
  assert.throws(() => new HeaderReader().reset({ ...slice, end: headerSize - 1 }), damaged);
  assert.throws(() => new HeaderReader().reset({ bytes: Buffer.concat([bytes, bytes]), start: 0, end: headerSize + 1 }), damaged);
  for (const version of [0, 2, 255]) {
    bytes[0] = version;
    assert.throws(() => new HeaderReader().reset(slice), damaged, `version ${version}`);
  }
});

test('a record with an unknown op is damage', () => {
  const writer = new HeaderWriter(1);
  writer.change('c', 0, { epoch: 1, number: 1 }, { partial: false, half: 'whole' });
  writer.bytes[1] = 'x'.charCodeAt(0);
  assert.throws(() => new HeaderReader().reset({ bytes: writer.bytes, start: 0, end: headerSize }).op, damaged);
});
