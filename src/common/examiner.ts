/**
 * Takes the checks of a start one by one. What is checked has a short name (`image`, `ports`), the same for all backends.
 * The strict one ends at the first that fails; another may note what fails and go on.
 */
export type Examiner = (subject: string, check: () => Promise<unknown>) => Promise<void>;

/** @throws what the check throws */
export const strictly: Examiner = async (_subject, check) => {
  await check();
};
