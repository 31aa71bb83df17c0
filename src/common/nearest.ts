import { closestMatch } from 'leven';

/** More changes than these make another word. */
const MAX_CHANGES = 3;

/** The candidate that is most like `word`, in whatever case either is; `undefined` where none is like it. */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  const maxDistance = Math.min(MAX_CHANGES, Math.ceil(word.length / 2));
  const lower = candidates.map((each) => each.toLowerCase());
  const found = closestMatch(word.toLowerCase(), lower, { maxDistance });
  return found === undefined ? undefined : candidates[lower.indexOf(found)];
}
