import { readFile } from 'node:fs/promises';
import type { RequestOptions } from 'node:http';
import { request as tlsRequest } from 'node:https';
import { TailraceError } from '../../runtime/errors.ts';
import { request as plainRequest } from '../../runtime/node-http.ts';
import type { RegistryConfig } from './config.ts';

/** What a registry answered; `json` is null where the body is none. */
export interface RegistryReply {
  readonly status: number;
  readonly json: unknown;
}

/** A whole answer is awaited at most so long, in milliseconds, and read at most so far. */
const timeout = 15_000;
const longestAnswer = 16 << 20;

/** Speaks to one Schema Registry. Throws `registry-unreachable` for what passes by itself, `registry-refused` for what does not. */
export class RegistryClient {
  /** Without a slash at the end: what stands in the log beside the ids that it gave. */
  readonly url: string;
  readonly #config: RegistryConfig;

  constructor(config: RegistryConfig) {
    this.url = config.url.replace(/\/+$/, '');
    this.#config = config;
  }

  get(path: string): Promise<RegistryReply> {
    return this.#ask('GET', path, undefined);
  }

  post(path: string, body: unknown): Promise<RegistryReply> {
    return this.#ask('POST', path, JSON.stringify(body));
  }

  async #ask(method: string, path: string, body: string | undefined): Promise<RegistryReply> {
    const reply = await this.#send(method, path, body);
    const { status } = reply;
    if (status === 401 || status === 403) {
      throw new TailraceError('registry-refused', `the schema registry ${this.url} refuses the login, or this one may not ${method} ${path} (status ${status})`);
    }
    if (status >= 500 || status === 429 || status === 408) {
      throw new TailraceError('registry-unreachable', `the schema registry ${this.url} answered ${method} ${path} with status ${status}${said(reply)}`);
    }
    return reply;
  }

  async #send(method: string, path: string, body: string | undefined): Promise<RegistryReply> {
    const url = new URL(`${this.url}${path}`);
    const options = await this.#options(method, body);
    return new Promise((resolve, reject) => {
      const fail = (error: NodeJS.ErrnoException): void => {
        const why = error.name === 'AbortError' || error.name === 'TimeoutError' ? 'no answer in time' : (error.code ?? error.message);
        reject(new TailraceError('registry-unreachable', `the schema registry ${this.url} cannot be reached: ${why}`, { cause: error }));
      };
      const request = (url.protocol === 'https:' ? tlsRequest : plainRequest)(url, { ...options, signal: AbortSignal.timeout(timeout) }, (response) => {
        const pieces: Buffer[] = [];
        let size = 0;
        response.on('data', (piece: Buffer) => {
          size += piece.length;
          if (size > longestAnswer) response.destroy(new Error('an answer that is too long'));
          else pieces.push(piece);
        });
        response.on('error', fail);
        response.on('end', () => resolve({ status: response.statusCode ?? 0, json: parse(Buffer.concat(pieces).toString()) }));
      });
      request.on('error', fail);
      request.end(body);
    });
  }

  async #options(method: string, body: string | undefined): Promise<RequestOptions> {
    const { username, password, token, tls } = this.#config;
    const login = username === undefined ? undefined : `Basic ${Buffer.from(`${username}:${password?.reveal() ?? ''}`).toString('base64')}`;
    const authorization = token === undefined ? login : `Bearer ${token.reveal()}`;
    return {
      method,
      headers: {
        accept: 'application/vnd.schemaregistry.v1+json, application/json',
        ...(authorization === undefined ? {} : { authorization }),
        ...(body === undefined ? {} : { 'content-type': 'application/vnd.schemaregistry.v1+json', 'content-length': Buffer.byteLength(body) }),
      },
      // Read each time, so that a certificate that was renewed is taken up.
      ...(await pems({ ca: tls?.ca, cert: tls?.cert, key: tls?.key })),
    };
  }
}

async function pems(paths: Readonly<Record<string, string | undefined>>): Promise<Readonly<Record<string, string>>> {
  const entries = Object.entries(paths).flatMap(([name, path]) => (path === undefined ? [] : [{ name, path }]));
  const read = entries.map(async ({ name, path }) => {
    try {
      return [name, await readFile(path, 'utf8')] as const;
    } catch (error) {
      const reason = (error as NodeJS.ErrnoException).code ?? 'unreadable';
      throw new TailraceError('config-invalid', `format.registry.tls.${name}: the file ${path} cannot be read (${reason})`, { cause: error });
    }
  });
  return Object.fromEntries(await Promise.all(read));
}

/** What a registry says of an error, for the end of a message. */
export function said({ json }: RegistryReply): string {
  const message = typeof json === 'object' && json !== null && 'message' in json ? json.message : undefined;
  return typeof message === 'string' ? `: ${message.slice(0, 600)}` : '';
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
