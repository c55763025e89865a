import { createHash } from 'node:crypto';
import { join, resolve } from 'node:path';
import type { PipelineConfig } from '../../config/pipeline-schema.ts';
import { claimsOf } from '../../registry.ts';
import { TailraceError } from '../../runtime/errors.ts';

/** Not TMPDIR: a service and the shell of the one who asks it often have different ones. */
const defaultFolder = '/tmp';

/** `sun_path` takes 108 bytes on Linux and 104 elsewhere, its end included; what is longer is cut in silence by some. */
const longestPath = 103;

export interface SocketPlace {
  /** Of this pipeline alone, and for its user alone. */
  readonly folder: string;
  readonly socket: string;
}

/**
 * Where the daemon of a pipeline listens for commands. Both sides work it out from the same file, so that nothing has to be
 * passed on: a pipeline is told from others of its name by what it holds for itself, which is its log's place, or its slot
 * where the log has none. `runtimeFolder` is TAILRACE_RUNTIME_DIR.
 */
export function socketPlace(config: PipelineConfig, runtimeFolder: string | undefined): SocketPlace {
  const claims = claimsOf({ ...config, sinks: [] });
  const ofLog = claims.filter(({ path }) => path[0] === 'log');
  const identity = (ofLog.length > 0 ? ofLog : claims).map((claim) => claim.identity);
  const hash = createHash('sha256').update(JSON.stringify([config.name, ...identity])).digest('hex').slice(0, 12);
  const folder = join(resolve(runtimeFolder || defaultFolder), `tailrace-${config.name}-${hash}`);
  const socket = join(folder, 'control.sock');
  if (Buffer.byteLength(socket) > longestPath) {
    throw new TailraceError('usage', `TAILRACE_RUNTIME_DIR is too long: a socket's path may have ${longestPath} bytes, and ${socket} has ${Buffer.byteLength(socket)}`, { remedy: 'choose a folder with a shorter path' });
  }
  return { folder, socket };
}
