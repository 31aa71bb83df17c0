const MAX_LENGTH = 200;
const MASK = '***';

const SECRET =
  '(?:key|token|secret|passw(?:or)?d|passphrase|pass|pwd|credential|authorization|auth|cookie|signature|sig)s?';
const SECRET_OPTION = new RegExp(`^-[\\w-]*${SECRET}$`, 'i');

/**
 * What a secret stands behind, inside an argument: `name=`, `"name":`, `--name `, `-p`, `-u user:`, `Bearer `. It begins at
 * the beginning of a word, and no part of it but a word is without a bound: the search takes linear time.
 */
const MARK = new RegExp(
  '(?<![\\w.-])(?:' +
    [
      `[\\w.-]*${SECRET}["']?\\s{0,8}[=:]\\s{0,8}["']?`,
      `-[\\w-]*${SECRET}\\s{1,8}(?=[^\\s-])`,
      '-p[\\s=]{0,8}(?=[^\\s=])',
      '(?:-u|--(?:proxy-)?user)[\\s=]{0,8}[^\\s:]{1,64}:(?=\\S)',
      '(?:bearer|basic)\\s{1,8}(?=\\S)',
    ].join('|') +
    ')',
  'i',
);

/** Of an argument that is all secret, the argument before it. */
const BEFORE_SECRET = /^(?:-p|bearer|basic)$/i;
const BEFORE_USER = /^(?:-u|--user|--proxy-user)$/;
const HOST_AND_PORT = /^[^/:]*:\d{1,5}\//;

/**
 * A command line for the log: shortened, and without what sounds like a secret: values of options, variables, headers and
 * parameters by such names, passwords in URLs. Where one begins inside an argument, the rest of that is left out.
 */
export function describeCommand(command: readonly string[]): string {
  let text = '';
  for (const [index, word] of command.entries()) {
    if (text.length > MAX_LENGTH) break;
    text += `${index === 0 ? '' : ' '}${masked(word, command[index - 1] ?? '')}`;
  }
  return text.length > MAX_LENGTH ? `${text.slice(0, MAX_LENGTH)}…` : text;
}

function masked(word: string, before: string): string {
  if (!word.startsWith('-') && (BEFORE_SECRET.test(before) || SECRET_OPTION.test(before))) return MASK;
  if (BEFORE_USER.test(before) && word.includes(':')) return `${word.slice(0, word.indexOf(':'))}:${MASK}`;
  const mark = MARK.exec(word);
  const plain = mark ? word.slice(0, mark.index + mark[0].length) : word;
  return `${plain.includes('://') ? withoutPasswords(plain) : plain}${mark ? MASK : ''}`;
}

/** Of URLs, also of several in one word. */
function withoutPasswords(text: string): string {
  return text.replace(/\S+/g, (word) => {
    const start = word.indexOf('://') + '://'.length;
    const end = word.lastIndexOf('@');
    const user = word.slice(start, end);
    if (start < '://'.length || end < start || HOST_AND_PORT.test(user)) return word;
    const colon = user.indexOf(':');
    if (colon < 0 && user.includes('/')) return word;
    return `${word.slice(0, start)}${colon < 0 ? '' : user.slice(0, colon + 1)}${MASK}${word.slice(end)}`;
  });
}
