import type { RegisteredSchema } from '../../event/table.ts';
import { shortMd5 } from '../../runtime/md5.ts';
import type { Finding } from '../../runtime/finding.ts';

/** Gives schemas their ids. */
export interface SchemaRegistrar {
  /** `known` is everything that was registered before, by this or another registrar. */
  register(wanted: { readonly subject: string; readonly schema: string }, known: readonly RegisteredSchema[]): Promise<RegisteredSchema>;
  check(): Promise<readonly Finding[]>;
}

/** What stands in `RegisteredSchema.registry` for ids that Tailrace gave itself. */
export const ownRegistry = 'tailrace';

/**
 * Tailrace's own ids, where there is no registry: an id is a hash of the schema's text, so that two publishers, one of which does
 * not know yet that it was followed by the other, never give one id to two schemas, and an equal table gets its old id back. The
 * daemon serves them (app/registry-http.ts).
 */
export class OwnRegistrar implements SchemaRegistrar {
  async register({ subject, schema }: { readonly subject: string; readonly schema: string }, known: readonly RegisteredSchema[]): Promise<RegisteredSchema> {
    const taken = new Map(known.filter(({ registry }) => registry === ownRegistry).map((each) => [each.id, each.schema]));
    let id = firstId(schema);
    while ((taken.get(id) ?? schema) !== schema) id = (id % maxId) + 1;
    return { registry: ownRegistry, subject, id, schema };
  }

  async check(): Promise<readonly Finding[]> {
    return [];
  }
}

/** Ids are positive and signed in the clients. */
const maxId = 2 ** 31 - 1;

function firstId(schema: string): number {
  return (Number.parseInt(shortMd5(schema).slice(0, 8), 16) % maxId) + 1;
}
