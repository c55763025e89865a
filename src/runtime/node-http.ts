/**
 * Of `node:http`, taken as `require` would. An import of it reads every export, and one of them loads an HTTP client that nobody here
 * uses: 33 ms of CPU in each thread of the daemon, and in every command.
 */
export const { createServer, request } = process.getBuiltinModule('node:http');
