/**
 * Whether the parts are in the text, one after another; each may be a text or an expression without flags. An expression such
 * as `a.*b` says the same, and takes quadratic time where `a` is there often and `b` is not: it begins anew at each `a`.
 */
export function inOrder(text: string, ...parts: readonly (string | RegExp)[]): boolean {
  let rest = text;
  for (const part of parts) {
    const [found, at] = typeof part === 'string' ? [part, rest.indexOf(part)] : firstOf(part, rest);
    if (at === -1) return false;
    rest = rest.slice(at + found.length);
  }
  return true;
}

function firstOf(part: RegExp, text: string): [found: string, at: number] {
  const match = part.exec(text);
  return match ? [match[0], match.index] : ['', -1];
}
