import { spawnSync, type SpawnSyncReturns } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { testCache } from './test-cache.ts';

/** `group:artifact:version`, or with `:type:classifier` behind it for a file that is not a jar and comes alone. */
export type Coordinate = `${string}:${string}:${string}`;

/** A folder of jars, or the reason why there is none: then a test says it aloud and passes over itself. */
export type Jars = { readonly libs: string; readonly missing?: undefined } | { readonly missing: string };

/**
 * A folder with these artifacts and all that they need to run on Java 17: from the user's cache, or fetched there by Maven the
 * first time. `name` stands for exactly these artifacts.
 */
export function mavenJars(name: string, coordinates: readonly Coordinate[]): Jars {
  const java = spawnSync('java', ['-version'], { encoding: 'utf8' });
  if (java.error !== undefined) return { missing: 'java is not installed' };
  const major = Number(/version "(\d+)/.exec(java.stderr)?.[1] ?? 0);
  if (major < 17) return { missing: `${name} needs Java 17, and this is ${major}` };
  const cache = testCache();
  const libs = join(cache, name);
  if (existsSync(libs)) return { libs };
  mkdirSync(cache, { recursive: true });
  const work = mkdtempSync(join(cache, 'fetching-'));
  try {
    writeFileSync(join(work, 'pom.xml'), pom(coordinates));
    const copy = 'org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies';
    // What has come stays in Maven's own folder: a download that broke off goes on.
    const fetch = (): SpawnSyncReturns<string> => spawnSync('mvn', ['-B', '-q', copy, '-DincludeScope=runtime', '-DoutputDirectory=libs'], { cwd: work, encoding: 'utf8', timeout: 180_000 });
    let maven = fetch();
    for (let again = 0; again < 2 && maven.status !== 0; again++) maven = fetch();
    if (maven.status !== 0) return { missing: maven.error === undefined ? `Maven could not fetch ${name}: ${maven.stdout.split('\n')[0] ?? ''}` : `mvn: ${maven.error.message}` };
    // Another test process may have been faster.
    if (!existsSync(libs)) renameSync(join(work, 'libs'), libs);
    return { libs };
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function pom(coordinates: readonly Coordinate[]): string {
  const dependencies = coordinates.map((coordinate) => {
    const [group, artifact, version, type, classifier] = coordinate.split(':');
    const alone = `<type>${type}</type><classifier>${classifier}</classifier><exclusions><exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion></exclusions>`;
    return `<dependency><groupId>${group}</groupId><artifactId>${artifact}</artifactId><version>${version}</version>${type === undefined ? '' : alone}</dependency>`;
  });
  return `<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
    <groupId>tailrace</groupId><artifactId>jars</artifactId><version>1</version><dependencies>${dependencies.join('')}</dependencies></project>`;
}
