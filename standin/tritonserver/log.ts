/** Writes lines the way Triton does: severity, time, process, place, then the text in quotes. */
export interface Log {
  info(place: string, text: string): void;
  warning(place: string, text: string): void;
  error(place: string, text: string): void;
  /** What a library writes by itself, past Triton's log. */
  library(text: string): void;
}

/** A log that hands each finished line to `write`. */
export function glog(write: (line: string) => void, now: () => Date = () => new Date()): Log {
  const line = (severity: string, place: string, text: string): void => {
    write(`${severity}${stamp(now())} ${process.pid} ${place}] ${JSON.stringify(text)}`);
  };
  return {
    info: (place, text) => {
      line('I', place, text);
    },
    warning: (place, text) => {
      line('W', place, text);
    },
    error: (place, text) => {
      line('E', place, text);
    },
    library: write,
  };
}

/** `1123 12:00:00.000000`, in UTC. */
function stamp(time: Date): string {
  const iso = time.toISOString();
  return `${iso.slice(5, 7)}${iso.slice(8, 10)} ${iso.slice(11, 23)}000`;
}
