import type { PipelineConfig } from '../../config/pipeline-schema.ts';
import type { StatusError } from '../../pipeline/status.ts';
import { TailraceError } from '../../runtime/errors.ts';
import { postToSocket, type SocketReply } from '../../runtime/http-socket.ts';
import type { CommandName, ReplyOf, RequestOf } from './commands.ts';
import { refuseForeign } from './control-server.ts';
import { socketPlace } from './place.ts';
import { errorOf } from './thread-calls.ts';

export interface AskOptions {
  /** TAILRACE_RUNTIME_DIR, as the daemon has it. */
  readonly runtimeFolder: string | undefined;
  readonly timeoutMs?: number;
}

/** Long enough for a daemon that is busy, short enough for one that hangs. */
const patience = 30_000;

/** Asks the daemon that runs this pipeline. Throws `daemon-missing` where none does, and what the daemon itself says is wrong. */
export async function askDaemon<Name extends CommandName>(config: PipelineConfig, name: Name, request: RequestOf<Name>, options: AskOptions): Promise<ReplyOf<Name>> {
  const { folder, socket } = socketPlace(config, options.runtimeFolder);
  let reply: SocketReply;
  try {
    // Root may speak to everybody's daemon.
    if (process.getuid?.() !== 0) await refuseForeign(folder);
    reply = await postToSocket(socket, { path: `/${name}`, body: request, timeoutMs: options.timeoutMs ?? patience });
  } catch (error) {
    throw unanswered(error, config.name);
  }
  if (reply.status === 200) return reply.json as ReplyOf<Name>;
  if (reply.status === 409) throw errorOf(reply.json as StatusError);
  throw new TailraceError('daemon-unreachable', `the daemon of ${config.name} does not know the command ${name}: it is of another version`);
}

function unanswered(error: unknown, pipeline: string): unknown {
  if (error instanceof TailraceError) return error;
  switch ((error as NodeJS.ErrnoException).code) {
    case 'ENOENT': case 'ECONNREFUSED':
      return new TailraceError('daemon-missing', `no daemon runs the pipeline ${pipeline} on this machine`);
    case 'EACCES': case 'EPERM':
      return new TailraceError('daemon-unreachable', `the daemon of ${pipeline} runs as another user`, { remedy: 'Run the command as the user that the daemon runs as.' });
    default:
      return new TailraceError('daemon-unreachable', `the daemon of ${pipeline} did not answer: ${(error as Error).message}`, { cause: error });
  }
}
