import { scenarios } from '../support/scenarios.ts';
import { columns, tables } from './scenarios/ddl.ts';
import { unsent } from './scenarios/unsent.ts';

// Judged by the replicas: test_decoding knows no copies, and a reader of the topics alone no names but those of their time.
scenarios('DDL', [...columns, ...tables, ...unsent].map((scenario) => ({ ...scenario, decoding: false, whole: false })));
