import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from '../../src/cli/demo/embedded-postgres.ts';
import { startJava } from './java-program.ts';
import { type Jars, mavenJars } from './maven-jars.ts';
import type { Scope } from './postgres.ts';
import { tempDirectory } from './temp.ts';
import { testCache } from './test-cache.ts';
import { eventually } from './wait.ts';

/** The newest Apicurio that runs on Java 17; Confluent's own registry is not on Maven Central. */
const version = '2.6.13.Final';

/** A folder with a real Schema Registry, Apicurio, which speaks Confluent's API. */
export function registryJars(): Jars {
  const fetched = mavenJars(`apicurio-${version}-archive`, [`io.apicurio:apicurio-registry-app:${version}:tar.gz:all`]);
  if (fetched.missing !== undefined) return fetched;
  const libs = join(testCache(), `apicurio-${version}`);
  if (existsSync(libs)) return { libs };
  const work = mkdtempSync(join(testCache(), 'unpacking-'));
  const tar = spawnSync('tar', ['-xzf', join(fetched.libs, `apicurio-registry-app-${version}-all.tar.gz`), '-C', work], { encoding: 'utf8' });
  if (tar.status === 0 && !existsSync(libs)) renameSync(work, libs);
  else rmSync(work, { recursive: true, force: true });
  return tar.status === 0 ? { libs } : { missing: `tar could not unpack the Schema Registry: ${tar.error?.message ?? tar.stderr}` };
}

/** The URL of a registry with nothing in it, for clients; gone when the scope ends. */
export async function startSchemaRegistry(scope: Scope, libs: string): Promise<string> {
  const directory = await tempDirectory(scope);
  const port = await freePort();
  const args = [`-Dquarkus.http.port=${port}`, '-Dquarkus.http.host=127.0.0.1', '-jar', join(libs, `apicurio-registry-app-${version}-runner.jar`)];
  const program = await startJava(scope, directory, args);
  const url = `http://127.0.0.1:${port}/apis/ccompat/v7`;
  const ready = async (): Promise<boolean> => (await fetch(`${url}/subjects`)).ok;
  await eventually(ready, { what: 'the Schema Registry', timeoutMs: 90_000 }).catch(async (error: unknown) => {
    throw new Error(`${String(error)}\n${(await program.output()).slice(-2000)}`);
  });
  return url;
}
