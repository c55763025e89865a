import { z } from 'zod';
import { Secret } from '../../runtime/secret.ts';

const path = z.string().min(1);

const url = z.string().superRefine((text, context) => {
  const remedy = (message: string, advice: string): void => context.addIssue({ code: 'custom', message, params: { remedy: advice } });
  if (!URL.canParse(text)) return remedy('no URL', 'write http://host:port, or https://…');
  const { protocol, username, password, search, hash } = new URL(text);
  if (protocol !== 'http:' && protocol !== 'https:') return remedy('a Schema Registry speaks HTTP', 'write http://host:port, or https://…');
  if (username !== '' || password !== '') return remedy('a login does not belong here', 'put it under username and password, which are never shown');
  if (search !== '' || hash !== '') remedy('more than the base of the API', 'leave out what stands behind ? or #');
});

const secret = z.string().min(1).transform((text) => new Secret(text));

const tls = z.strictObject({
  ca: path.optional().describe('A file with the authorities that are trusted, in PEM; without it, those that Node brings.'),
  cert: path.optional().describe('A file with our own certificate, in PEM, where the registry asks for one.'),
  key: path.optional().describe('A file with its private key, in PEM.'),
}).refine(({ cert, key }) => (cert === undefined) === (key === undefined), { error: 'cert and key go together', path: ['key'] });

const registry = z
  .strictObject({
    url: url.describe("Where the Schema Registry's API (Confluent's, and what speaks as it does) begins: https://registry.example.com.").meta({ examples: ['http://localhost:8081'] }),
    username: z.string().min(1).optional().describe('Who logs in, or the API key.'),
    password: secret.optional().describe('Its password, or secret; best from the environment: ${REGISTRY_PASSWORD}.'),
    token: secret.optional().describe('A bearer token, in place of username and password.'),
    tls: tls.optional().describe('Whom to trust and who we are, for https.'),
  })
  .refine(({ username, password }) => (username === undefined) === (password === undefined), { error: 'username and password go together', path: ['password'] })
  .refine(({ username, token }) => username === undefined || token === undefined, { error: 'a token stands in place of username and password', path: ['token'] });

/** What stands behind `format: { type: avro }`. */
export const avroCodecConfig = z.strictObject({
  registry: registry.optional().describe('The Schema Registry that gives the schemas their ids. Without it Tailrace gives them itself, and the daemon serves them.'),
  types: z
    .enum(['natural', 'text'])
    .default('natural')
    .describe("How dates, times and numeric(p, s) stand: natural, as Avro's types, where a value that they cannot say (infinity, NaN) is null and stands in the record's header; or text, as Postgres writes them."),
});

export type RegistryConfig = z.output<typeof registry>;

export type AvroCodecConfig = z.output<typeof avroCodecConfig>;
