import type { MessagePort } from 'node:worker_threads';
import type { StatusError } from '../pipeline/status.ts';
import { statusError } from '../pipeline/supervision.ts';
import { questionsOver } from './control/questions.ts';
import { errorOf } from './control/thread-calls.ts';

/** Appends records to a topic of a job; durable when resolved. */
export type Append = (topic: string, values: readonly Uint8Array[]) => Promise<void>;

interface Request {
  readonly id: number;
  readonly topic: string;
  readonly values: readonly Uint8Array[];
}

interface Reply {
  readonly id: number;
  readonly error: StatusError | null;
}

/** The jobs' end of the port; the publisher's thread has the log's only writer. */
export function appenderOver(port: MessagePort): Append {
  const questions = questionsOver<void>(port);
  port.on('message', ({ id, error }: Reply) => {
    if (error === null) questions.answered(id);
    else questions.refused(id, errorOf(error));
  });
  return (topic, values) => questions.ask((id) => port.postMessage({ id, topic, values } satisfies Request));
}

/** The publisher's end. */
export function serveAppends(port: MessagePort, append: Append): void {
  port.on('message', ({ id, topic, values }: Request) => {
    const reply = (error: StatusError | null): void => port.postMessage({ id, error } satisfies Reply);
    append(topic, values).then(() => reply(null), (error: unknown) => reply(statusError(error)));
  });
}
