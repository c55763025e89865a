/**
 * A log sequence number: a byte position in Postgres's write-ahead log, 64 bits. Written as `16/B374D848` by Postgres
 * (two hexadecimal halves) and everywhere in our records; a `bigint` in memory, so that comparing is plain `<`.
 */
export type Lsn = bigint;

const pattern = /^([0-9A-Fa-f]{1,8})\/([0-9A-Fa-f]{1,8})$/;

/** Parses `16/B374D848`; `undefined` when the text is not an LSN. */
export function parseLsn(text: string): Lsn | undefined {
  const match = pattern.exec(text);
  if (match?.[1] === undefined || match[2] === undefined) return undefined;
  return (BigInt(`0x${match[1]}`) << 32n) | BigInt(`0x${match[2]}`);
}

/** Parses an LSN that a server or a record of ours wrote; throws a `RangeError` when it is none. */
export function lsn(text: string): Lsn {
  const value = parseLsn(text);
  if (value === undefined) throw new RangeError(`not an LSN: ${JSON.stringify(text)}`);
  return value;
}

/** Postgres's own form: upper-case hexadecimal halves without leading zeros. */
export function formatLsn(value: Lsn): string {
  const high = (value >> 32n).toString(16).toUpperCase();
  const low = (value & 0xffff_ffffn).toString(16).toUpperCase();
  return `${high}/${low}`;
}
