/**
 * How our ordinary sessions behave as a guest: no workers taken from the application, no compiling of catalog queries, and no
 * waiting for standbys at the commit of a watermark (the stream brings it when it is durable here).
 */
export const guestSettings: Readonly<Record<string, string>> = {
  jit: 'off',
  max_parallel_workers_per_gather: '0',
  synchronous_commit: 'local',
};

/** Of sessions that ask the catalog the same again and again: planning that takes the server several times as long as the answer. */
export const askingSettings: Readonly<Record<string, string>> = { ...guestSettings, plan_cache_mode: 'force_generic_plan' };
