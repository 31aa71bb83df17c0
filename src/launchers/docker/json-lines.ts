/** Longest line that is waited for, characters. */
const MAX_LINE = 1024 * 1024;

/** The JSON values of a stream that holds one a line. What is no JSON is passed over. */
export async function* jsonLines(stream: NodeJS.ReadableStream): AsyncGenerator {
  let rest = '';
  stream.setEncoding('utf8');
  for await (const chunk of stream) {
    const lines = (rest + String(chunk)).split('\n');
    rest = lines.pop() ?? '';
    if (rest.length > MAX_LINE) rest = '';
    for (const line of lines) yield* parsed(line);
  }
  yield* parsed(rest);
}

function* parsed(line: string): Generator {
  if (line.trim() === '') return;
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    // Cut off by a broken connection.
    return;
  }
  yield value;
}
