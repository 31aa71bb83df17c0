const MAX_LENGTH = 200;
const SECRET_OPTION = /^(-[\w-]*|\w*)(key|token|secret|passw(or)?d|credential)s?$/i;

/** A command line for the log: shortened, and without the values of options that sound like secrets. */
export function describeCommand(command: readonly string[]): string {
  const words = command.map((word, index) => {
    const equals = word.indexOf('=');
    if (equals > 0 && SECRET_OPTION.test(word.slice(0, equals))) return `${word.slice(0, equals)}=***`;
    const before = command[index - 1] ?? '';
    return before.startsWith('-') && SECRET_OPTION.test(before) && !word.startsWith('-') ? '***' : word;
  });
  const text = words.join(' ');
  return text.length > MAX_LENGTH ? `${text.slice(0, MAX_LENGTH)}…` : text;
}
