import { sinkContract } from '../../contract/sink.ts';
import { sqliteReplica } from './replica.ts';

sinkContract('sqlite', { types: { integer: 'INTEGER', text: 'TEXT' }, replica: (t) => sqliteReplica(t) });
