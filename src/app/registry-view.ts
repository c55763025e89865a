import type { RegisteredSchema } from '../event/table.ts';
import type { HttpReply } from '../runtime/http.ts';

/** What one pipeline's log says was registered. */
export interface PipelineSchemas {
  readonly pipeline: string;
  readonly registered: readonly RegisteredSchema[];
}

interface SubjectVersion {
  readonly version: number;
  readonly id: number;
  readonly schema: string;
}

interface IdEntry {
  readonly schema: string;
  readonly pipeline: string;
  readonly uses: { readonly subject: string; readonly version: number }[];
}

/**
 * The reading half of Confluent's Schema Registry API over what pipelines gave ids to themselves, so that its clients can read
 * their topics. A subject's versions are counted in the order in which they stand in the log.
 */
export class RegistryView {
  readonly #subjects = new Map<string, SubjectVersion[]>();
  readonly #ids = new Map<number, IdEntry>();
  /** Ids that two pipelines gave to two schemas, with what is to be said of them. */
  readonly #clashes = new Map<number, string>();

  constructor(pipelines: readonly PipelineSchemas[]) {
    for (const { pipeline, registered } of pipelines) for (const each of registered) this.#add(pipeline, each);
  }

  #add(pipeline: string, { subject, id, schema }: RegisteredSchema): void {
    const versions = this.#subjects.get(subject) ?? [];
    this.#subjects.set(subject, versions);
    if (versions.some((version) => version.id === id)) return;
    const version = versions.length + 1;
    versions.push({ version, id, schema });
    const entry = this.#ids.get(id);
    if (entry === undefined) this.#ids.set(id, { schema, pipeline, uses: [{ subject, version }] });
    else if (entry.schema === schema) entry.uses.push({ subject, version });
    else this.#clashes.set(id, `the pipelines ${entry.pipeline} and ${pipeline} gave the id ${id} to two schemas: run them in two daemons`);
  }

  /** Null for a path that the API does not have. */
  answer([root, ...rest]: readonly string[]): HttpReply | null {
    if (root === 'schemas') return this.#schemas(rest);
    if (root === 'subjects') return this.#subject(rest);
    if (root === 'config') return config(rest);
    return root === 'mode' && rest.length === 0 ? ok({ mode: 'READONLY' }) : null;
  }

  #schemas([first, id, part, ...more]: readonly string[]): HttpReply | null {
    if (first === 'types' && id === undefined) return ok(['AVRO']);
    if (first !== 'ids' || id === undefined || more.length > 0) return null;
    const number = Number(id);
    const clash = this.#clashes.get(number);
    if (clash !== undefined) return problem(500, 50_001, clash);
    const entry = /^\d{1,10}$/.test(id) ? this.#ids.get(number) : undefined;
    if (entry === undefined) return problem(404, 40_403, 'Schema not found');
    switch (part) {
      case undefined:
        return ok({ schema: entry.schema });
      case 'schema':
        return ok(JSON.parse(entry.schema));
      case 'subjects':
        return ok(entry.uses.map(({ subject }) => subject));
      case 'versions':
        return ok(entry.uses);
      default:
        return null;
    }
  }

  #subject([subject, word, wanted, part, ...more]: readonly string[]): HttpReply | null {
    if (subject === undefined) return ok([...this.#subjects.keys()].toSorted());
    const versions = this.#subjects.get(subject);
    if (word !== 'versions' || more.length > 0 || (part !== undefined && part !== 'schema')) return null;
    if (versions === undefined) return problem(404, 40_401, `Subject '${subject}' not found.`);
    if (wanted === undefined) return ok(versions.map(({ version }) => version));
    const number = wanted === 'latest' || wanted === '-1' ? versions.length : /^[1-9]\d{0,8}$/.test(wanted) ? Number(wanted) : 0;
    if (number === 0) return problem(422, 42_202, `The specified version '${wanted}' is not a valid version id.`);
    const found = versions[number - 1];
    if (found === undefined) return problem(404, 40_402, `Version ${number} not found.`);
    return part === 'schema' ? ok(JSON.parse(found.schema)) : ok({ subject, version: found.version, id: found.id, schema: found.schema });
  }
}

/** Whatever a table becomes is registered: nothing is compared. */
function config([subject, ...more]: readonly string[]): HttpReply | null {
  if (more.length > 0) return null;
  if (subject === undefined) return ok({ compatibilityLevel: 'NONE' });
  return problem(404, 40_408, `Subject '${subject}' does not have subject-level compatibility configured`);
}

function ok(json: unknown): HttpReply {
  return { status: 200, json };
}

function problem(status: number, code: number, message: string): HttpReply {
  return { status, json: { error_code: code, message } };
}
