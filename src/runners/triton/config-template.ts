/** A field of a protobuf text-format document, by the names that lead to it, and its text where it is a string. */
interface Field {
  readonly path: string;
  readonly isTopLevel: boolean;
  readonly text?: string;
}

/** What a template says that this service has to know. */
export interface TemplateFacts {
  /** Names of the top-level fields, each as often as it comes. */
  readonly topLevel: readonly string[];
  readonly platform: string | undefined;
  /** Models that it is made of, by its ensemble scheduling, each once; `undefined`: it has none. */
  readonly steps: readonly string[] | undefined;
}

/** @throws SyntaxError when strings or braces do not close */
export function readTemplate(text: string): TemplateFacts {
  const fields = fieldsOf(text);
  const textsAt = (path: string): string[] =>
    fields.flatMap((field) => (field.path === path && field.text !== undefined ? [field.text] : []));
  const topLevel = fields.flatMap(({ path, isTopLevel, text: value }) =>
    value === undefined && isTopLevel ? [path] : [],
  );
  return {
    topLevel,
    platform: textsAt('platform').at(-1),
    steps: topLevel.includes('ensemble_scheduling')
      ? [...new Set(textsAt('ensemble_scheduling.step.model_name'))]
      : undefined,
  };
}

const TOKENS =
  /#[^\n]*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|[{}<>[\]]|(?<![A-Za-z0-9_])[A-Za-z_][A-Za-z0-9_]*\s*(?=[:{<[])|["']/g;

/**
 * Every field once where its name stands, and once more for each string that it holds. Enough to know what a template
 * has; not a parser.
 * Source: protobuf.dev, "Text Format Language Specification".
 * @throws SyntaxError when strings or braces do not close
 */
function fieldsOf(text: string): Field[] {
  const fields: Field[] = [];
  /** Names of the open messages and lists; a message in a list has none of its own. */
  const open: string[] = [];
  let name = '';
  const add = (value?: string): void => {
    const path = [...open, name].filter((each) => each !== '').join('.');
    fields.push({ path, isTopLevel: open.length === 0, ...(value !== undefined && { text: value }) });
  };
  for (const [token] of text.matchAll(TOKENS)) {
    if (token === '"' || token === "'") throw new SyntaxError('a string is not closed');
    if (token.startsWith('#')) continue;
    if (token.startsWith('"') || token.startsWith("'")) {
      add(unquoted(token));
    } else if ('{[<'.includes(token)) {
      open.push(name);
      name = '';
    } else if ('}]>'.includes(token)) {
      if (open.pop() === undefined) throw new SyntaxError('a bracket is closed that was never opened');
      name = '';
    } else {
      name = token.trim();
      add();
    }
  }
  if (open.length > 0) throw new SyntaxError('a bracket is not closed');
  return fields;
}

/** Names and platforms hold no escapes but of quotes and backslashes. */
function unquoted(token: string): string {
  return token.slice(1, -1).replaceAll(/\\(.)/g, '$1');
}
