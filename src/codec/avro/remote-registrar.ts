import type { RegisteredSchema } from '../../event/table.ts';
import { TailraceError } from '../../runtime/errors.ts';
import type { Finding } from '../../runtime/finding.ts';
import type { SchemaRegistrar } from './registrar.ts';
import { type RegistryClient, type RegistryReply, said } from './registry-client.ts';
import { differences } from './schema-differences.ts';

/** A Schema Registry gives the ids. It is asked only for what the log does not hold already. */
export class RemoteRegistrar implements SchemaRegistrar {
  readonly #client: RegistryClient;

  constructor(client: RegistryClient) {
    this.#client = client;
  }

  async register(wanted: { readonly subject: string; readonly schema: string }, known: readonly RegisteredSchema[]): Promise<RegisteredSchema> {
    const { subject, schema } = wanted;
    const { url } = this.#client;
    const before = known.find((each) => each.registry === url && each.subject === subject && each.schema === schema);
    if (before !== undefined) return before;
    const reply = await this.#client.post(`/subjects/${encodeURIComponent(subject)}/versions`, { schema });
    const id = reply.status === 200 ? idOf(reply) : undefined;
    if (id !== undefined) return { registry: url, subject, id, schema };
    // 409: not compatible with what is there; 422: no schema, to this registry's mind.
    if (reply.status === 409 || reply.status === 422) throw await this.#refusal(wanted, reply);
    throw noRegistry(url, reply);
  }

  async check(): Promise<readonly Finding[]> {
    const reply = await this.#client.get('/config');
    const names = typeof reply.json === 'object' && reply.json !== null ? Object.keys(reply.json) : [];
    if (reply.status !== 200 || !names.includes('compatibilityLevel')) throw noRegistry(this.#client.url, reply);
    return [];
  }

  /** Names the fields: what a registry says of them is for readers of its source. */
  async #refusal({ subject, schema }: { readonly subject: string; readonly schema: string }, reply: RegistryReply): Promise<TailraceError> {
    const latest = await this.#client.get(`/subjects/${encodeURIComponent(subject)}/versions/latest`);
    const there = latest.status === 200 ? (latest.json as { schema?: unknown } | null)?.schema : undefined;
    const changed = typeof there === 'string' ? differences(there, schema) : [];
    const fields = changed.length === 0 ? '' : `; against the latest version there, ${changed.join('; ')}`;
    return new TailraceError('schema-refused', `the schema registry ${this.#client.url} refuses the schema of ${subject}${fields}${said(reply)}`, {
      remedy: `Undo the change at the source, or let ${subject} change: set its compatibility to NONE (PUT /config/${subject}), or delete the subject. Tailrace tries again by itself.`,
    });
  }
}

function idOf({ json }: RegistryReply): number | undefined {
  const id = typeof json === 'object' && json !== null && 'id' in json ? json.id : undefined;
  return typeof id === 'number' && Number.isInteger(id) && id >= 0 && id < 2 ** 32 ? id : undefined;
}

function noRegistry(url: string, reply: RegistryReply): TailraceError {
  return new TailraceError('registry-refused', `${url} does not answer as a schema registry does (status ${reply.status}${said(reply)})`);
}
