import type { Slice } from '../../runtime/slice.ts';
import type { ByteWriter } from '../byte-writer.ts';
import { fields, parseDate, parseTime, parseTimestamp } from '../temporal.ts';
import { writeBigLong, writeMicros, writeLong } from './avro-bytes.ts';
import { type AvroForm, writeAvroValue } from './avro-value.ts';
import { writeBig } from './decimal.ts';

/**
 * As `writeAvroValue`, for a key, where null would make two keys one: there infinity is the least or the largest number of its
 * type, as in Postgres's own binary form, every other year is its number, and `NaN` is the first number beyond the precision.
 * Keys that differ differ here too; nobody reads a row from them. False for what no Postgres writes.
 */
export function writeAvroKey(writer: ByteWriter, form: AvroForm, text: Readonly<Slice>): boolean {
  if (writeAvroValue(writer, form, text)) return true;
  const written = Buffer.from(text.bytes.buffer, text.bytes.byteOffset + text.start, text.end - text.start).toString('latin1');
  switch (form.kind) {
    case 'date':
      if (written === 'infinity' || written === '-infinity') writeLong(writer, written === 'infinity' ? 2 ** 31 - 1 : -(2 ** 31));
      else if (parseDate(text)) writeLong(writer, fields.days);
      else return false;
      return true;
    case 'time':
      if (!parseTime(text)) return false;
      writeMicros(writer, fields.seconds, fields.micros);
      return true;
    case 'timestamp':
    case 'timestamptz':
      return writeTimestampKey(writer, written, form.kind === 'timestamptz');
    case 'decimal':
      if (written !== 'NaN') return false;
      writeBig(writer, 10n ** BigInt(form.precision));
      return true;
    default:
      return false;
  }
}

const infinity = 2n ** 63n - 1n;

function writeTimestampKey(writer: ByteWriter, written: string, zoned: boolean): boolean {
  if (written === 'infinity' || written === '-infinity') {
    writeBigLong(writer, written === 'infinity' ? infinity : -infinity - 1n);
    return true;
  }
  // Sessions run in UTC; an offset is taken into account all the same, because equal instants are equal keys.
  const match = zoned ? /^(.*?)([+-])(\d\d)(?::(\d\d)(?::(\d\d))?)?( BC)?$/.exec(written) : [written, written, '+', '0', '0', '0', ''];
  if (match === null) return false;
  const [, local = '', sign, hours, minutes, seconds, era = ''] = match;
  const bytes = Buffer.from(local + era);
  if (!parseTimestamp({ bytes, start: 0, end: bytes.length })) return false;
  const offset = (Number(hours) * 3600 + Number(minutes ?? 0) * 60 + Number(seconds ?? 0)) * (sign === '-' ? -1 : 1);
  // The last thirty years that Postgres has do not fit 64 bits from 1970 on: they go to where no timestamp lies, far below 4713 BC.
  const micros = BigInt.asIntN(64, BigInt(fields.seconds - offset) * 1_000_000n + BigInt(fields.micros));
  if (micros === infinity || micros === -infinity - 1n) return false;
  writeBigLong(writer, micros);
  return true;
}
