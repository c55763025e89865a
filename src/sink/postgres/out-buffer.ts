/** Bytes on their way to a socket, in a buffer that grows and is used again. */
export class OutBuffer {
  bytes: Buffer;
  /** Over the same bytes. */
  view: DataView;
  length = 0;

  constructor(size: number) {
    this.bytes = Buffer.allocUnsafeSlow(size);
    this.view = viewOf(this.bytes);
  }

  /** Makes room for `more` bytes behind `length`; `bytes` may be another buffer afterwards. */
  reserve(more: number): void {
    if (this.length + more <= this.bytes.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(this.length + more, this.bytes.length * 2));
    this.bytes.copy(grown, 0, 0, this.length);
    this.bytes = grown;
    this.view = viewOf(grown);
  }

  int16(value: number): void {
    this.reserve(2);
    this.length = this.bytes.writeInt16BE(value, this.length);
  }

  int32(value: number): void {
    this.reserve(4);
    this.length = this.bytes.writeInt32BE(value, this.length);
  }

  slice(bytes: Uint8Array, start: number, end: number): void {
    this.reserve(end - start);
    this.bytes.set(start === 0 && end === bytes.length ? bytes : bytes.subarray(start, end), this.length);
    this.length += end - start;
  }

  /** Length in front, as Postgres counts parameters: the bytes only. */
  sizedText(text: string): void {
    const size = Buffer.byteLength(text);
    this.int32(size);
    this.reserve(size);
    this.length += this.bytes.write(text, this.length);
  }

  /** A name or a statement ends at a NUL byte: one inside would cut it short and let the rest be read as something else. */
  cString(text: string): void {
    if (text.includes('\0')) throw new RangeError('a statement holds a NUL character');
    const size = Buffer.byteLength(text);
    this.reserve(size + 1);
    this.length += this.bytes.write(text, this.length);
    this.bytes[this.length++] = 0;
  }

  /** Begins a message of the frontend protocol; `endMessage` fills its length in. */
  beginMessage(type: number): number {
    this.reserve(5);
    this.bytes[this.length] = type;
    this.length += 5;
    return this.length;
  }

  /** `begun` is what `beginMessage` returned; the length counts itself, not the type byte. */
  endMessage(begun: number): void {
    this.bytes.writeInt32BE(this.length - begun + 4, begun - 4);
  }
}

function viewOf(bytes: Buffer): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}
