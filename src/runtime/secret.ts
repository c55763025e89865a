import { inspect } from 'node:util';

/**
 * A value that must never be printed: a password, or a URL that holds one. Every way by which an object turns into text
 * (template, JSON, console, pino) gives `***`; `reveal()` is for the call of the driver and nothing else.
 */
export class Secret {
  readonly #value: string;

  constructor(value: string) {
    this.#value = value;
  }

  reveal(): string {
    return this.#value;
  }

  toString(): string {
    return '***';
  }

  toJSON(): string {
    return '***';
  }

  [inspect.custom](): string {
    return '***';
  }
}

const userInfo = /([a-z][a-z0-9+.-]*:\/\/)[^\s/?#"'<>]*@/gi;
const assignment = /\b(password|passwd|pwd|secret|token|sslpassword)(["']?\s*[=:]\s*["']?)[^\s"'&,;}]+/gi;

/**
 * Text of others (a driver's message, a line of YAML) with the user info of every URL and every `password=…` taken out.
 * A second net: our own messages are built without secrets.
 */
export function redact(text: string): string {
  return text.replace(userInfo, '$1***@').replace(assignment, '$1$2***');
}
