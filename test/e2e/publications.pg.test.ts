import { scenarios, type Scenario } from '../support/scenarios.ts';
import { tables } from './scenarios/ddl.ts';
import { byList, bySchema, unsent } from './scenarios/unsent.ts';

/** As for DDL, judged by the replicas alone: what is copied is in no other account. */
const byReplicas = (list: readonly Scenario[]): Scenario[] => list.map((scenario) => ({ ...scenario, decoding: false, whole: false }));

/** What may come otherwise where nobody lists the tables. */
const bySchemaToo = [...unsent.filter(({ title }) => !title.startsWith('D4')), ...tables.filter(({ title }) => /^D7|another schema|type that is gone/.test(title))];

scenarios('a publication of schemas and tables, under the root', byReplicas([...bySchema, ...bySchemaToo]), { publication: 'publish_via_partition_root = true', formats: ['tuple'] });
scenarios('a publication of tables, partitions by themselves', byReplicas([...byList, ...unsent.filter(({ title }) => title.startsWith('D11'))]), { publication: 'publish_via_partition_root = false', formats: ['json'] });
