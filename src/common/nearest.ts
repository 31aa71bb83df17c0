import { closestMatch } from 'leven';

/** More changes than these make another word. */
const MAX_CHANGES = 3;

/** The candidate that is most like `word`; `undefined` where none is like it. */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  const maxDistance = Math.min(MAX_CHANGES, Math.ceil(word.length / 2));
  return closestMatch(word, candidates, { maxDistance });
}
