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
