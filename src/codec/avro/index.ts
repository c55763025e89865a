import type { Codec } from '../codec.ts';
import { AvroCodec } from './avro-codec.ts';
import type { AvroCodecConfig } from './config.ts';
import { OwnRegistrar } from './registrar.ts';
import { RegistryClient } from './registry-client.ts';
import { RemoteRegistrar } from './remote-registrar.ts';

export function createAvroCodec({ registry, types }: AvroCodecConfig): Codec {
  return new AvroCodec(registry === undefined ? new OwnRegistrar() : new RemoteRegistrar(new RegistryClient(registry)), types);
}
