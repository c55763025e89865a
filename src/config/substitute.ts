/** The environment as the configuration sees it: `process.env`, or what a test gives. */
export type Environment = Readonly<Record<string, string | undefined>>;

export interface Substituted {
  readonly text: string;
  /** Names of the variables that the value came from; empty when the text held none. */
  readonly variables: readonly string[];
}

export interface SubstitutionProblem {
  /** Where in the text it is, in characters. */
  readonly at: number;
  readonly message: string;
  readonly remedy: string;
}

const reference = /^\$\{([A-Za-z_][A-Za-z0-9_]*)(?:(:-)([^{}]*))?\}/;

/**
 * `${NAME}` becomes the variable's value, `${NAME:-default}` the default where the variable is unset or empty, `$$` one
 * dollar; a dollar before anything else stays. What was put in is never looked at again: a password may hold `${`.
 */
export function substitute(text: string, environment: Environment): Substituted | { readonly problems: readonly SubstitutionProblem[] } {
  if (!text.includes('$')) return { text, variables: [] };
  const problems: SubstitutionProblem[] = [];
  const variables: string[] = [];
  let out = '';
  let at = 0;
  while (at < text.length) {
    const dollar = text.indexOf('$', at);
    if (dollar < 0) break;
    out += text.slice(at, dollar);
    at = dollar + 1;
    if (text[at] === '$') {
      out += '$';
      at++;
    } else if (text[at] === '{') {
      const match = reference.exec(text.slice(dollar, dollar + 4096));
      if (match?.[1] === undefined) {
        problems.push(malformed(text, dollar));
        at++;
        continue;
      }
      at = dollar + match[0].length;
      const [, name, hasDefault, fallback] = match;
      // Own properties only: `${constructor}` is not set, whatever an object inherits.
      const value = Object.hasOwn(environment, name) ? environment[name] : undefined;
      if (value === undefined && hasDefault === undefined) problems.push(unset(name, dollar, environment));
      variables.push(name);
      out += hasDefault !== undefined && (value === undefined || value === '') ? (fallback ?? '') : (value ?? '');
    } else out += '$';
  }
  return problems.length > 0 ? { problems } : { text: out + text.slice(at), variables };
}

function unset(name: string, at: number, environment: Environment): SubstitutionProblem {
  const other = Object.keys(environment).find((key) => key.toLowerCase() === name.toLowerCase());
  return {
    at,
    message: `the environment variable ${name} is not set`,
    remedy: other === undefined ? `set it, or give a default: \${${name}:-…}` : `${other} is set; variables' names are case-sensitive`,
  };
}

function malformed(text: string, at: number): SubstitutionProblem {
  const end = text.indexOf('}', at);
  const inner = text.slice(at + 2, end < 0 ? undefined : end);
  const message = inner.includes('${')
    ? 'a reference inside a reference is not supported'
    : end < 0
      ? 'this ${ has no closing }'
      : 'this is no reference to an environment variable';
  return { at, message, remedy: 'write ${NAME} or ${NAME:-default}; $${ stands for a literal ${' };
}
