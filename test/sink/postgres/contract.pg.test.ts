import { sinkContract } from '../../contract/sink.ts';
import { postgresHarness } from './harness.ts';

sinkContract('postgres', postgresHarness);
