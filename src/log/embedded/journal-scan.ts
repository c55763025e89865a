import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { damaged } from './fs-errors.ts';
import { FRAME_HEADER, FRAME_MAGIC, readFrame, type Frame } from './journal-format.ts';
import { journalName } from './layout.ts';

export interface ScannedFrame {
  readonly path: string;
  readonly at: number;
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
    for (const at of file.starts) frames.push({ path, at });
    ({ sequence, end, tornBytes } = file);
  }
  return { frames, files, sequence: sequence ?? 0, end, tornBytes };
}

/** Calls `visit` with each frame again, one at a time: a journal may be larger than memory should be. */
export function forEachFrame(frames: readonly ScannedFrame[], seed: number, visit: (frame: Frame, at: ScannedFrame) => void): void {
  let open: { path: string; fd: number } | undefined;
  try {
    for (const at of frames) {
      if (open?.path !== at.path) {
        if (open !== undefined) closeSync(open.fd);
        open = { path: at.path, fd: openSync(at.path, 'r') };
      }
      const frame = readFrame(open.fd, at.at, { fileSize: fstatSync(open.fd).size, seed });
      if (typeof frame === 'string') throw damaged(at.path, at.at, frame);
      visit(frame, at);
    }
  } finally {
    if (open !== undefined) closeSync(open.fd);
  }
}

interface FileScan {
  readonly starts: readonly number[];
  readonly sequence: number;
  readonly end: number;
  readonly tornBytes: number;
}

function scanFile(path: string, options: { seed: number; sequence: number | undefined; last: boolean }): FileScan {
  const fd = openSync(path, 'r');
  try {
    const fileSize = fstatSync(fd).size;
    const starts: number[] = [];
    let { sequence } = options;
    let at = 0;
    while (at < fileSize || at === 0) {
      const frame = readFrame(fd, at, { fileSize, seed: options.seed });
      if (typeof frame === 'string') {
        // The table is written before the file gets its name, so that it is never torn.
        if (at > 0 && options.last && !frameBehind(fd, at, { fileSize, seed: options.seed })) {
          return { starts, sequence: sequence ?? 0, end: at, tornBytes: fileSize - at };
        }
        throw damaged(path, at, frame);
      }
      const isTable = frame.kind === 'table';
      if (isTable !== (at === 0)) throw damaged(path, at, `a ${frame.kind} frame does not belong here`);
      const expected = sequence === undefined ? frame.sequence : isTable ? sequence : sequence + 1;
      if (frame.sequence !== expected) throw damaged(path, at, `the frame has number ${frame.sequence}, but ${expected} is due`);
      starts.push(at);
      sequence = frame.sequence;
      at += frame.size;
    }
    return { starts, sequence: sequence ?? 0, end: at, tornBytes: 0 };
  } finally {
    closeSync(fd);
  }
}

/** Whether a whole frame lies anywhere behind `from`: then what stands at `from` was whole once. */
function frameBehind(fd: number, from: number, file: { fileSize: number; seed: number }): boolean {
  const chunk = Buffer.allocUnsafeSlow(1024 * 1024);
  const magic = Buffer.alloc(4);
  magic.writeUInt32BE(FRAME_MAGIC);
  for (let at = from + 1; at + FRAME_HEADER <= file.fileSize; ) {
    const read = readSync(fd, chunk, 0, chunk.length, at);
    let found = chunk.subarray(0, read).indexOf(magic);
    for (; found >= 0; found = chunk.subarray(0, read).indexOf(magic, found + 1)) {
      if (typeof readFrame(fd, at + found, file) !== 'string') return true;
    }
    at += Math.max(read - 3, 1);
  }
  return false;
}
