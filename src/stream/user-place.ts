import { dirname } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

/** This program's own files; what of a stack is not among them, nor Node's, is the user's. */
export const program = dirname(dirname(fileURLToPath(import.meta.url)));
const own = pathToFileURL(`${program}/`).href;

/**
 * Where in the user's modules it was thrown, ` (at file:line:column)` for people. Where none of them was involved: with `orElse` where in this program, and else
 * nothing.
 */
export function userPlace(error: unknown, orElse?: 'program'): string {
  if (!(error instanceof Error) || error.stack === undefined) return '';
  // What cannot be parsed has no frame: V8 puts the file, the line and a mark below it in front.
  const unparsed = /^(\S.*):(\d+)\n(?:.*\n){1,5}?( *)\^/.exec(error.stack);
  if (unparsed !== null) return at(unparsed[1] as string, Number(unparsed[2]), (unparsed[3] as string).length + 1);
  const frames = [...error.stack.matchAll(/^ +at .*?\(?(file:\/\/.+?):(\d+):(\d+)\)?$/gm)];
  const frame = frames.find(([, file]) => file?.startsWith(own) === false) ?? (orElse === 'program' ? frames[0] : undefined);
  return frame === undefined ? '' : at(frame[1] as string, Number(frame[2]), Number(frame[3]));
}

function at(file: string, line: number, column: number): string {
  return ` (at ${file.startsWith('file:') ? fileURLToPath(file) : file}:${line}:${column})`;
}
