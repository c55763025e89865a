import { z } from 'zod';
import { Secret } from '../secret.ts';
import { parseConnection } from './connection-target.ts';
import { TLS_MODES } from './connection-url.ts';

const path = z.string().min(1);

/** The keys by which a plug-in's configuration names a Postgres; to be spread into its object, which `checkConnection` then checks. */
export const connectionKeys = {
  url: z
    .string()
    .min(1)
    .transform((value) => new Secret(value))
    .describe('Where the server is: postgres://user:password@host:port/database, with sslmode and the like as libpq knows them.'),
  sslmode: z
    .enum(TLS_MODES)
    .optional()
    .describe('How the connection is protected, as libpq means it. The default is verify-full, and prefer for this machine itself.'),
  sslrootcert: path.optional().describe('PEM file of the certificate authority to trust, or system; without it those that come with Node.'),
  sslcert: path.optional().describe('PEM file of the client certificate.'),
  sslkey: path.optional().describe("PEM file of the client certificate's key."),
};

export type ConnectionKeys = z.output<z.ZodObject<typeof connectionKeys>>;

/** The `refine` for an object with these keys: `z.strictObject({...connectionKeys, …}).refine(...checkConnection)`. */
export const checkConnection: [(value: ConnectionKeys) => boolean, { path: string[]; error: (issue: { input?: unknown }) => string; when: (payload: { value: unknown }) => boolean }] = [
  (value) => parseConnection(value).problem === undefined,
  {
    path: ['url'],
    error: (issue) => parseConnection(issue.input as ConnectionKeys).problem ?? '',
    // Beside other problems too, so that all are seen at once; only the URL itself has to be there.
    when: ({ value }) => (value as Partial<ConnectionKeys> | null)?.url instanceof Secret,
  },
];
