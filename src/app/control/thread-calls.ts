import type { StatusError } from '../../pipeline/status.ts';
import { statusError } from '../../pipeline/supervision.ts';
import { catalogue } from '../../runtime/error-catalogue.ts';
import { TailraceError } from '../../runtime/errors.ts';
import type { CommandName, Handlers, ReplyOf, RequestOf } from './commands.ts';
import { Questions } from './questions.ts';

/** A command on its way to the thread that handles it, and what came of it. */
export interface Call {
  readonly kind: 'call';
  readonly id: number;
  readonly name: CommandName;
  readonly request: unknown;
}

export interface CallEnded {
  readonly kind: 'call-ended';
  readonly id: number;
  readonly reply: unknown;
  readonly error: StatusError | null;
}

/** The host's side: commands that a thread is asked for, until it answers or is gone. */
export class ThreadCalls {
  readonly #post: (call: Call) => void;
  readonly #questions = new Questions<unknown>();

  constructor(post: (call: Call) => void) {
    this.#post = post;
  }

  async ask<Name extends CommandName>(name: Name, request: RequestOf<Name>): Promise<ReplyOf<Name>> {
    return (await this.#questions.ask((id) => this.#post({ kind: 'call', id, name, request }))) as ReplyOf<Name>;
  }

  ended({ id, reply, error }: CallEnded): void {
    if (error === null) this.#questions.answered(id, reply);
    else this.#questions.refused(id, errorOf(error));
  }

  /** Nobody will answer any more. */
  gone(): void {
    this.#questions.gone(() => new TailraceError('daemon-unreachable', 'this part of the pipeline ended before it had answered'));
  }
}

/** The thread's side. */
export async function answerCall<Names extends CommandName>(call: Call, handlers: Handlers<Names>): Promise<CallEnded> {
  const { kind, id } = { kind: 'call-ended' as const, id: call.id };
  try {
    const handler = handlers[call.name as Names] as (request: unknown) => Promise<unknown>;
    return { kind, id, reply: await handler(call.request), error: null };
  } catch (error) {
    return { kind, id, reply: null, error: statusError(error) };
  }
}

/** An error that came over from a thread or another process: a code that this side does not know is one that nobody foresaw. */
export function errorOf({ code, message, remedy }: StatusError): TailraceError {
  const known = Object.hasOwn(catalogue, code) ? code : 'internal';
  return new TailraceError(known, message, { remedy });
}
