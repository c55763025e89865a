import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { damaged } from './fs-errors.ts';
import { FRAME_HEADER, FRAME_MAGIC, readFrame, type Frame, type FrameKind, type JournalFile } from './journal-format.ts';
import { journalName } from './layout.ts';

export interface ScannedFrame {
  readonly path: string;
  readonly at: number;
  readonly kind: FrameKind;
}

/** What the journal holds, checked to the last byte; nothing has been changed. */
export interface JournalScan {
  /** In order; the first frame is the table that all the others build on. */
  readonly frames: readonly ScannedFrame[];
  /** Numbers of the files, in order. */
  readonly files: readonly number[];
  /** Of the last whole frame. */
  readonly sequence: number;
  /** Where the last file's whole frames end, and the bytes of a torn one behind it. */
  readonly end: number;
  readonly tornBytes: number;
}

/**
 * Reads and checks all journal files. Only one frame is ever under way, so only the very last one can be torn: bytes that
 * are no frame with no later frame behind them were never acknowledged. Anything else is damage, and then nothing is cut:
 * throws `log-damaged` with the place.
 */
export function scanJournals(directory: string, files: readonly number[], seed: number): JournalScan {
  const frames: ScannedFrame[] = [];
  let sequence: number | undefined;
  let end = 0;
  let tornBytes = 0;
  for (const number of files) {
    const path = join(directory, journalName(number));
    const last = number === files.at(-1);
    const file = scanFile(path, { seed, sequence, last });
    frames.push(...file.frames);
    ({ sequence, end, tornBytes } = file);
  }
  return { frames, files, sequence: sequence ?? 0, end, tornBytes };
}

/** Calls `visit` with each frame again, one at a time: a journal may be larger than memory should be. */
export function forEachFrame(frames: readonly ScannedFrame[], seed: number, visit: (frame: Frame, at: ScannedFrame) => void): void {
  let file: JournalFile | undefined;
  try {
    for (const at of frames) {
      if (file?.path !== at.path) {
        if (file !== undefined) closeSync(file.fd);
        file = openJournal(at.path, seed);
      }
      const frame = readFrame(file, at.at);
      if (typeof frame === 'string') throw damaged(at.path, at.at, frame);
      visit(frame, at);
    }
  } finally {
    if (file !== undefined) closeSync(file.fd);
  }
}

export function openJournal(path: string, seed: number): JournalFile {
  const fd = openSync(path, 'r');
  return { fd, path, seed, fileSize: fstatSync(fd).size };
}

interface FileScan {
  readonly frames: readonly ScannedFrame[];
  readonly sequence: number;
  readonly end: number;
  readonly tornBytes: number;
}

function scanFile(path: string, options: { seed: number; sequence: number | undefined; last: boolean }): FileScan {
  const file = openJournal(path, options.seed);
  try {
    const frames: ScannedFrame[] = [];
    let { sequence } = options;
    let at = 0;
    while (at < file.fileSize || at === 0) {
      const frame = readFrame(file, at);
      if (typeof frame === 'string') {
        // The table is written before the file gets its name, so that it is never torn.
        if (at === 0 || !options.last || frameBehind(file, at)) throw damaged(path, at, frame);
        return { frames, sequence: sequence ?? 0, end: at, tornBytes: file.fileSize - at };
      }
      const isTable = frame.kind === 'table';
      if (isTable !== (at === 0)) throw damaged(path, at, `a ${frame.kind} frame does not belong here`);
      const expected = sequence === undefined ? frame.sequence : isTable ? sequence : sequence + 1;
      if (frame.sequence !== expected) throw damaged(path, at, `the frame has number ${frame.sequence}, but ${expected} is due`);
      frames.push({ path, at, kind: frame.kind });
      sequence = frame.sequence;
      at += frame.size;
    }
    return { frames, sequence: sequence ?? 0, end: at, tornBytes: 0 };
  } finally {
    closeSync(file.fd);
  }
}

/** Whether a whole frame lies anywhere behind `from`: then what stands at `from` was whole once. */
function frameBehind(file: JournalFile, from: number): boolean {
  const chunk = Buffer.allocUnsafeSlow(1024 * 1024);
  const magic = Buffer.alloc(4);
  magic.writeUInt32BE(FRAME_MAGIC);
  for (let at = from + 1; at + FRAME_HEADER <= file.fileSize; ) {
    const read = chunk.subarray(0, readSync(file.fd, chunk, 0, chunk.length, at));
    for (let found = read.indexOf(magic); found >= 0; found = read.indexOf(magic, found + 1)) {
      if (typeof readFrame(file, at + found) !== 'string') return true;
    }
    // The magic may lie across the border.
    at += Math.max(read.length - 3, 1);
  }
  return false;
}
