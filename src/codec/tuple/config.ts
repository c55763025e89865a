import { z } from 'zod';

/** Nothing to set: Postgres's own bytes. */
export const tupleCodecConfig = z.strictObject({});
