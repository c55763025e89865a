import { KIND_ABSENT, KIND_BINARY, KIND_NULL, KIND_TEXT } from '../../event/tuple.ts';

/**
 * Offset behind the tuple at `at` when it is a whole one with exactly `columns` columns inside `bytes[at, limit)`; -1 when
 * it is not. Unlike TupleReader this trusts nothing: it reads what a disk or a network gave back.
 */
export function checkTuple(bytes: Uint8Array, at: number, limit: number, columns: number): number {
  if (at + 2 > limit) return -1;
  if ((((bytes[at] as number) << 8) | (bytes[at + 1] as number)) !== columns) return -1;
  let position = at + 2;
  for (let i = 0; i < columns; i++) {
    if (position >= limit) return -1;
    const kind = bytes[position++];
    if (kind === KIND_NULL || kind === KIND_ABSENT) continue;
    if ((kind !== KIND_TEXT && kind !== KIND_BINARY) || position + 4 > limit) return -1;
    const size =
      (bytes[position] as number) * 0x1000000 +
      (((bytes[position + 1] as number) << 16) | ((bytes[position + 2] as number) << 8) | (bytes[position + 3] as number));
    position += 4 + size;
    if (position > limit) return -1;
  }
  return position;
}
