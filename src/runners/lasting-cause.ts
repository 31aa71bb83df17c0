import { isFailedImport } from './failed-import.js';

/** Exceptions of any Python program that only a change of the host or of the configuration takes away. */
const LASTING = [
  /^(?:SyntaxError|IndentationError|UnicodeDecodeError)\b/,
  /^PermissionError: \[Errno 13\]/,
  /^ValueError: invalid literal for int\(\)/,
  /^ValueError: could not convert string to float/,
  /^yaml\.\w+\.\w+Error\b/,
];

/** Whether a Python program that ended with this exception before it was ready would end so again. */
export function isLastingCause(exception: string): boolean {
  return isFailedImport(exception) || LASTING.some((words) => words.test(exception));
}
