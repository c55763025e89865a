import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { registerHooks } from 'node:module';
import { resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { TailraceError } from '../runtime/errors.ts';
import { isStreamDefinition, type StreamDefinition } from './stream.ts';
import { program, userPlace } from './user-place.ts';

export interface StreamModule {
  readonly definition: StreamDefinition;
  /** Of every file that the module is made of, packages included: another one may compute something else. */
  readonly fingerprint: string;
}

/** In a checkout this is TypeScript, in the published package JavaScript. */
const extension = import.meta.url.slice(import.meta.url.lastIndexOf('.'));
const api = new URL(`./api${extension}`, import.meta.url).href;

/**
 * Loads the module of a stream: its default export, or its only export that is a stream. `import … from 'tailrace'` in it is this
 * very program, wherever the module lies. Relative paths begin at the working directory. Throws `stream-module`.
 */
export async function loadStreamModule(path: string): Promise<StreamModule> {
  const file = resolve(path);
  if (!existsSync(file)) throw new TailraceError('stream-module', `the module ${path} is not there`, { remedy: `Looked for ${file}: paths begin at the working directory.` });
  const url = pathToFileURL(file).href;
  const sources = new Map<string, string>();
  let last = file;
  const own = pathToFileURL(`${program}/`).href;
  const hooks = registerHooks({
    resolve: (specifier, context, next) => (specifier === 'tailrace' ? { url: api, shortCircuit: true } : next(specifier, context)),
    load: (loaded, context, next) => {
      const result = next(loaded, context);
      if (loaded.startsWith('file:')) last = fileURLToPath(loaded);
      if (loaded.startsWith('file:') && !loaded.startsWith(own) && result.source != null) sources.set(loaded, digest(result.source));
      return result;
    },
  });
  try {
    const exported = Object.entries((await import(url)) as Record<string, unknown>);
    const definitions = exported.filter((entry): entry is [string, StreamDefinition] => isStreamDefinition(entry[1]));
    const chosen = definitions.find(([name]) => name === 'default') ?? (definitions.length === 1 ? definitions[0] : undefined);
    if (chosen === undefined) {
      throw new TailraceError('stream-module', `${path} exports ${definitions.length === 0 ? 'no stream' : `several streams (${definitions.map(([name]) => name).join(', ')})`}`, {
        remedy: 'Export one: export default stream(({ table }) => { … }).',
      });
    }
    // By content and not by place: a module that is moved computes the same.
    return { definition: chosen[1], fingerprint: digest([...sources.values()].sort().join('')) };
  } catch (cause) {
    if (cause instanceof TailraceError) throw cause;
    // Each file is parsed before those that it imports are read: V8 does not always say in which one it stopped.
    const place = userPlace(cause) || (cause instanceof SyntaxError ? ` (in ${last})` : '');
    throw new TailraceError('stream-module', `${path} cannot be loaded: ${cause instanceof Error ? cause.message : String(cause)}${place}`, { cause });
  } finally {
    hooks.deregister();
  }
}

function digest(source: string | ArrayBuffer | NodeJS.TypedArray): string {
  return createHash('sha256').update(typeof source === 'string' ? source : new Uint8Array(source as ArrayBuffer)).digest('hex');
}
