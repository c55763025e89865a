import { z } from 'zod';
import type { PipelineStatus } from '../../pipeline/status.ts';
import type { LogReply } from '../log-requests.ts';
import { logRequest } from './log-request.ts';

/**
 * What a running daemon can be asked to do, a pipeline at a time. A command is a line in each of the two tables here, its
 * handler in the part that can do it (`PipelineHost`, or a thread of it), and whoever asks calls `askDaemon`.
 */
export const requests = {
  /** Where it stands, as `/status` says it. */
  status: z.strictObject({}),
  /** Copies tables anew, or some of their rows; pauses, resumes and stops copies. */
  snapshot: z.strictObject({ action: z.enum(['copy', 'pause', 'resume', 'stop']), tables: z.string().nullable(), where: z.string().nullable() }),
  /** Writes to the log for a command: the daemon has it. Only to topics that the pipeline does not write. */
  log: logRequest,
};

interface Replies {
  readonly status: PipelineStatus;
  /** The tables that it concerns. */
  readonly snapshot: readonly string[];
  readonly log: LogReply;
}

export type CommandName = keyof typeof requests;
export type RequestOf<Name extends CommandName> = z.output<(typeof requests)[Name]>;
export type ReplyOf<Name extends CommandName> = Replies[Name];

export type Handlers<Names extends CommandName> = { readonly [Name in Names]: (request: RequestOf<Name>) => Promise<ReplyOf<Name>> };

/** Those that the publisher's thread handles. */
export type PublisherCommand = 'snapshot' | 'log';
