/** Backend messages built by hand, to be read back by the decoder. */
import { tupleOf } from '../../../src/event/tuple.ts';

type Part = Uint8Array | string;

function bytes(...parts: readonly Part[]): Uint8Array {
  return Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(`${part}\0`) : part)));
}

function u8(value: number): Uint8Array {
  return Uint8Array.of(value);
}
function u16(value: number): Uint8Array {
  const part = Buffer.alloc(2);
  part.writeUInt16BE(value);
  return part;
}
function i32(value: number): Uint8Array {
  const part = Buffer.alloc(4);
  part.writeInt32BE(value | 0);
  return part;
}
function u64(value: bigint): Uint8Array {
  const part = Buffer.alloc(8);
  part.writeBigUInt64BE(value);
  return part;
}
function letter(char: string): Uint8Array {
  return u8(char.charCodeAt(0));
}

export function frame(type: string, body: Uint8Array): Uint8Array {
  return bytes(letter(type), i32(body.length + 4), body);
}

function xlog(...parts: readonly Part[]): Uint8Array {
  return frame('d', bytes(letter('w'), u64(1n), u64(2n), u64(3n), ...parts));
}

export const wire = {
  started: frame('W', bytes(u8(0), u16(0))),
  keepalive: (walEnd: bigint, reply = false): Uint8Array => frame('d', bytes(letter('k'), u64(walEnd), u64(0n), u8(reply ? 1 : 0))),
  begin: (commitLsn: bigint, xid: number): Uint8Array => xlog(letter('B'), u64(commitLsn), u64(0n), i32(xid)),
  commit: (commitLsn: bigint, endLsn: bigint): Uint8Array => xlog(letter('C'), u8(0), u64(commitLsn), u64(endLsn), u64(0n)),
  relation: (relid: number, name: string, columns: readonly { name: string; identity?: boolean; typeOid?: number; typmod?: number }[], identity = 'd'): Uint8Array =>
    xlog(
      letter('R'), i32(relid), 'public', name, letter(identity), u16(columns.length),
      ...columns.flatMap((column) => [u8(column.identity === true ? 1 : 0), column.name, i32(column.typeOid ?? 25), i32(column.typmod ?? -1)]),
    ),
  insert: (relid: number, row: readonly (string | null)[]): Uint8Array => xlog(letter('I'), i32(relid), letter('N'), tupleOf(row)),
  update: (relid: number, row: readonly (string | null | undefined)[], old?: { kind: 'K' | 'O'; row: readonly (string | null)[] }): Uint8Array =>
    xlog(letter('U'), i32(relid), ...(old === undefined ? [] : [letter(old.kind), tupleOf(old.row)]), letter('N'), tupleOf(row)),
  delete: (relid: number, kind: 'K' | 'O', row: readonly (string | null)[]): Uint8Array => xlog(letter('D'), i32(relid), letter(kind), tupleOf(row)),
  truncate: (relids: readonly number[], options = 0): Uint8Array => xlog(letter('T'), i32(relids.length), u8(options), ...relids.map(i32)),
  message: (prefix: string, content: string, transactional = true): Uint8Array =>
    xlog(letter('M'), u8(transactional ? 1 : 0), u64(9n), prefix, i32(Buffer.byteLength(content)), Buffer.from(content)),
  type: xlog(letter('Y'), i32(99), 'public', 'mood'),
  origin: xlog(letter('O'), u64(1n), 'elsewhere'),
  notice: frame('N', bytes(letter('S'), 'NOTICE', letter('M'), 'a notice', u8(0))),
  error: (sqlstate: string, message: string): Uint8Array => frame('E', bytes(letter('V'), 'FATAL', letter('C'), sqlstate, letter('M'), message, u8(0))),
  unknown: xlog(letter('S'), i32(1)),
  empty: frame('d', new Uint8Array(0)),
};
