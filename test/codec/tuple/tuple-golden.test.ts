import { createTupleCodec } from '../../../src/codec/tuple/index.ts';
import { codecGolden } from '../../contract/codec-golden.ts';

codecGolden('tuple', createTupleCodec);
