import Sequencer from '@jest/test-sequencer';

/**
 * Suites that start processes come first: they wait much and last long. Those that last a moment fill what is left of the
 * workers at the end.
 */
export default class LongFirst extends Sequencer {
  async sort(tests) {
    const sorted = await super.sort(tests);
    const isLong = ({ context }) => context.config.displayName?.name !== 'unit';
    return [...sorted.filter(isLong), ...sorted.filter((test) => !isLong(test))];
  }
}
