import { type RetryPolicy, retryPolicyOf } from '../common/errors.js';

const HOPE: Readonly<Record<RetryPolicy, number>> = { always: 0, bounded: 1, never: 2 };

/**
 * The results of all, once all have ended. Of several failures, the one counts that leaves most to be tried again: what is
 * final for one is found final once more, and ends nothing for the others.
 * @throws that failure
 */
export async function settleAll<T>(works: readonly Promise<T>[]): Promise<T[]> {
  const results = await Promise.allSettled(works);
  const [failure] = results
    .filter((result) => result.status === 'rejected')
    .sort((a, b) => HOPE[retryPolicyOf(a.reason)] - HOPE[retryPolicyOf(b.reason)]);
  if (failure) throw failure.reason;
  return results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
}
