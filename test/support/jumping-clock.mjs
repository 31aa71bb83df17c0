/**
 * Preloaded into a process: each SIGUSR2 moves its wall clock by one day, on and back by turns. Timers and
 * `performance` keep the time they have, as with a real change of the clock.
 */
const DAY_MS = 86_400_000;
const RealDate = Date;
let offsetMs = 0;

globalThis.Date = class extends RealDate {
  constructor(...values) {
    if (values.length === 0) super(RealDate.now() + offsetMs);
    else super(...values);
  }

  static now() {
    return RealDate.now() + offsetMs;
  }
};

// The first jump is forward, and each later one goes to the other side of the real time.
process.on('SIGUSR2', () => {
  offsetMs = offsetMs > 0 ? -DAY_MS : DAY_MS;
});
