/**
 * The names of the top-level fields of a protobuf text-format document, without its comments, strings and nested
 * messages. Enough to know whether a template has a field; not a parser.
 * Source: protobuf.dev, "Text Format Language Specification".
 * @throws SyntaxError when strings or braces do not close
 */
export function topLevelFields(text: string): string[] {
  const fields: string[] = [];
  const tokens =
    /#[^\n]*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|[{}<>[\]]|[A-Za-z_][A-Za-z0-9_]*\s*(?=[:{<[])|["']/g;
  let depth = 0;
  for (const [token] of text.matchAll(tokens)) {
    if (token === '"' || token === "'") throw new SyntaxError('a string is not closed');
    if (token === '{' || token === '[' || token === '<') depth += 1;
    else if (token === '}' || token === ']' || token === '>') depth -= 1;
    else if (depth === 0 && /^[A-Za-z_]/.test(token)) fields.push(token.trim());
    if (depth < 0) throw new SyntaxError('a bracket is closed that was never opened');
  }
  if (depth !== 0) throw new SyntaxError('a bracket is not closed');
  return fields;
}
