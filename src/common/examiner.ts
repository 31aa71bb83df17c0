/**
 * Takes the checks of a start one by one, and says whether each has passed. What is checked has a short name (`image`,
 * `ports`), the same for all backends. A `hint` tells of what will probably not work: no start is refused for it.
 */
export type Examiner = (
  subject: string,
  check: () => Promise<unknown>,
  weight?: 'obstacle' | 'hint',
) => Promise<boolean>;

/** Ends at the first obstacle. @throws what the check throws */
export const strictly: Examiner = async (_subject, check, weight = 'obstacle') => {
  if (weight === 'obstacle') await check();
  return true;
};

/** What a check finds out; `otherwise` where it does not pass, and those after it are made all the same. */
export async function foundBy<T>(
  examine: Examiner,
  subject: string,
  ask: () => Promise<T>,
  otherwise: T,
): Promise<T> {
  let answer = otherwise;
  await examine(subject, async () => {
    answer = await ask();
  });
  return answer;
}

/** A check that may find several obstacles: each is one of its own; the first ends a start. */
export async function examineAll(
  examine: Examiner,
  subject: string,
  find: () => Promise<readonly Error[]>,
): Promise<void> {
  let others: readonly Error[] = [];
  await examine(subject, async () => {
    const [first, ...rest] = await find();
    others = rest;
    if (first) throw first;
  });
  for (const error of others) await examine(subject, () => Promise.reject(error));
}
