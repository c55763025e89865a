import type { z } from 'zod';
import type { Codec } from '../codec.ts';
import { AvroCodec } from './avro-codec.ts';
import { avroCodecConfig } from './config.ts';
import { OwnRegistrar } from './registrar.ts';
import { RegistryClient } from './registry-client.ts';
import { RemoteRegistrar } from './remote-registrar.ts';

export { avroCodecConfig };

export function createAvroCodec({ registry, types }: z.output<typeof avroCodecConfig>): Codec {
  return new AvroCodec(registry === undefined ? new OwnRegistrar() : new RemoteRegistrar(new RegistryClient(registry)), types);
}
