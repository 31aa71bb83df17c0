/** What the stand-in does to its surroundings, so that tests can hold time still. */
export interface Pace {
  /** Resolves after that time. `what` says what takes it, such as `load MAM`. */
  pause(milliseconds: number, what: string): Promise<void>;
  /** Ends the whole server at once. */
  crash(exitCode: number): void;
}

/** Real time, and the real end of this process. */
export const realPace: Pace = {
  pause: (milliseconds) =>
    milliseconds > 0
      ? new Promise((resolve) => {
          setTimeout(resolve, milliseconds);
        })
      : Promise.resolve(),
  crash: (exitCode) => {
    process.exit(exitCode);
  },
};
