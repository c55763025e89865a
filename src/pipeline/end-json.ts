import { formatLsn, type Lsn } from '../event/lsn.ts';
import type { Slice } from '../runtime/slice.ts';
import type { EndRecord, Part, Place } from './control-records.ts';

/**
 * ENDs as JSON, written and read by hand: there is one a transaction, and JSON's general way costs more than all else that is done
 * for a transaction of ten rows. What is written is what `JSON.stringify` would write; what is read is only that, in that order:
 * for anything else the general way is there.
 */

/** The bytes of an END that says no more than most; null for one that does. */
export function endText(end: EndRecord): string | null {
  if (end.snapshot !== null || end.shapes !== undefined || end.input !== undefined) return null;
  let parts = '';
  for (const part of end.parts) {
    const { topic, partition, count, first, last, bytes } = part;
    parts += `${parts === '' ? '' : ','}{"topic":${quoted(topic)},"partition":${partition},"count":${count},"first":${first},"last":${last},"bytes":${bytes}}`;
  }
  return (
    `{"type":"end","startId":${quoted(end.startId)},"epoch":${end.epoch},"commitLsn":"${formatLsn(end.commitLsn)}","endLsn":"${formatLsn(end.endLsn)}",` +
    `"commitTime":"${end.commitTime}","previous":{"epoch":${end.previous.epoch},"commitLsn":"${formatLsn(end.previous.commitLsn)}"},"snapshot":null,"parts":[${parts}]}`
  );
}

const names = new Map<string, string>();

/** Topics are few, and name themselves again and again. */
function quoted(name: string): string {
  const known = names.get(name);
  if (known !== undefined) return known;
  const text = JSON.stringify(name);
  if (names.size < 4096) names.set(name, text);
  return text;
}

/** The END that these bytes are, if it is one that `endText` has written; else null. */
export function readEnd({ bytes, start, end }: Slice): EndRecord | null {
  scanner.reset(bytes, start, end);
  const startId = scanner.after(words.type).text();
  const epoch = scanner.after(words.epoch).integer();
  const commitLsn = scanner.after(words.commitLsn).lsn();
  const endLsn = scanner.after(words.endLsn).lsn();
  const commitTime = BigInt(scanner.after(words.commitTime).integer());
  const previous: Place = { epoch: scanner.after(words.previous).integer(), commitLsn: scanner.after(words.commitLsn).lsn() };
  scanner.after(words.parts);
  const parts: Part[] = [];
  while (scanner.good && !scanner.isAt(words.end)) {
    scanner.after(parts.length === 0 ? words.part : words.nextPart);
    const topic = scanner.text();
    const partition = scanner.after(words.partition).integer();
    const count = scanner.after(words.count).integer();
    const first = scanner.after(words.first).integer();
    const last = scanner.after(words.last).integer();
    parts.push({ topic, partition, count, first, last, bytes: scanner.after(words.bytes).integer() });
    scanner.after(words.partEnd);
  }
  return scanner.after(words.end).isOver ? { type: 'end', startId, epoch, commitLsn, endLsn, commitTime, previous, snapshot: null, parts } : null;
}

const word = (text: string): Uint8Array => Buffer.from(text);
const words = {
  type: word('{"type":"end","startId":"'), epoch: word('","epoch":'), commitLsn: word(',"commitLsn":"'), endLsn: word('","endLsn":"'),
  commitTime: word('","commitTime":"'), previous: word('","previous":{"epoch":'), parts: word('"},"snapshot":null,"parts":['),
  part: word('{"topic":"'), nextPart: word(',{"topic":"'), partition: word('","partition":'), count: word(',"count":'), first: word(',"first":'),
  last: word(',"last":'), bytes: word(',"bytes":'), partEnd: word('}'), end: word(']}'),
};

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const SLASH = 0x2f;
const MINUS = 0x2d;

/** Walks over bytes as long as they are what was expected; afterwards `good` says whether they were. */
class Scanner {
  good = false;
  #bytes: Uint8Array = new Uint8Array(0);
  #at = 0;
  #end = 0;
  /** Texts that were met before, by their bytes: nearly every one was. */
  readonly #known: { readonly bytes: Uint8Array; readonly text: string }[] = [];
  /** Where the next text is looked for first: they come in the same turn in each END. */
  #next = 0;

  reset(bytes: Uint8Array, start: number, end: number): void {
    this.#bytes = bytes;
    this.#at = start;
    this.#end = end;
    this.good = true;
  }

  get isOver(): boolean {
    return this.good && this.#at === this.#end;
  }

  isAt(expected: Uint8Array): boolean {
    const bytes = this.#bytes;
    const at = this.#at;
    if (at + expected.length > this.#end) return false;
    for (let i = 0; i < expected.length; i++) if (bytes[at + i] !== expected[i]) return false;
    return true;
  }

  after(expected: Uint8Array): this {
    if (this.good && this.isAt(expected)) this.#at += expected.length;
    else this.good = false;
    return this;
  }

  integer(): number {
    const from = this.#at;
    let value = 0;
    const negative = this.#bytes[this.#at] === MINUS;
    if (negative) this.#at++;
    for (; this.#at < this.#end; this.#at++) {
      const digit = (this.#bytes[this.#at] as number) - 0x30;
      if (digit < 0 || digit > 9) break;
      value = value * 10 + digit;
    }
    if (this.#at === from || value > Number.MAX_SAFE_INTEGER) this.good = false;
    return this.good ? (negative ? -value : value) : 0;
  }

  lsn(): Lsn {
    const high = this.#hex();
    if (this.#bytes[this.#at] === SLASH) this.#at++;
    else this.good = false;
    return (BigInt(high) << 32n) | BigInt(this.#hex());
  }

  /** Up to the next quotation mark. */
  text(): string {
    if (!this.good) return '';
    const known = this.#known[this.#next];
    if (known !== undefined && this.isAt(known.bytes) && this.#bytes[this.#at + known.bytes.length] === QUOTE) {
      this.#next = (this.#next + 1) % this.#known.length;
      this.#at += known.bytes.length;
      return known.text;
    }
    return this.#newText();
  }

  #newText(): string {
    const from = this.#at;
    for (; this.#at < this.#end && this.#bytes[this.#at] !== QUOTE; this.#at++) if (this.#bytes[this.#at] === BACKSLASH) this.good = false;
    const bytes = this.#bytes.slice(from, this.#at);
    const found = this.#known.findIndex((known) => Buffer.compare(known.bytes, bytes) === 0);
    if (found >= 0) {
      this.#next = (found + 1) % this.#known.length;
      return (this.#known[found] as { readonly text: string }).text;
    }
    const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString();
    if (this.#known.length < 64) this.#known.push({ bytes, text });
    this.#next = 0;
    return text;
  }

  #hex(): number {
    const from = this.#at;
    let value = 0;
    for (; this.#at < this.#end && this.#at - from < 8; this.#at++) {
      const byte = this.#bytes[this.#at] as number;
      const digit = byte < 0x3a ? byte - 0x30 : byte < 0x47 ? byte - 0x37 : -1;
      if (digit < 0 || digit > 15) break;
      value = value * 16 + digit;
    }
    if (this.#at === from) this.good = false;
    return value;
  }
}

const scanner = new Scanner();
