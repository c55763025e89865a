import type { MessagePort } from 'node:worker_threads';
import { TailraceError } from '../../runtime/errors.ts';

/** What one side has asked another: each is answered by its number, or fails when the other side is gone. */
export class Questions<Answer> {
  readonly #waiting = new Map<number, { resolve: (answer: Answer) => void; reject: (error: Error) => void }>();
  #next = 0;
  #gone: (() => Error) | null = null;

  /** `send` sends the question with this number. */
  ask(send: (id: number) => void): Promise<Answer> {
    return new Promise((resolve, reject) => {
      if (this.#gone !== null) return reject(this.#gone());
      const id = this.#next++;
      this.#waiting.set(id, { resolve, reject });
      send(id);
    });
  }

  answered(id: number, answer: Answer): void {
    this.#waiting.get(id)?.resolve(answer);
    this.#waiting.delete(id);
  }

  refused(id: number, error: Error): void {
    this.#waiting.get(id)?.reject(error);
    this.#waiting.delete(id);
  }

  /** Nobody will answer any more, neither what waits nor what is asked from now on. */
  gone(error: () => Error): void {
    this.#gone = error;
    for (const { reject } of this.#waiting.values()) reject(error());
    this.#waiting.clear();
  }
}

/** Questions to the publisher's thread, which writes the log, over this end of a port: they fail when the other end closes. */
export function questionsOver<Answer>(port: MessagePort): Questions<Answer> {
  const questions = new Questions<Answer>();
  port.on('close', () => questions.gone(() => new TailraceError('log-unwritable', 'the publisher, which writes the log, has ended')));
  return questions;
}
