import { MAX_TAIL_BYTES } from '../output-text.js';

const HEADER_BYTES = 8;

/**
 * The end of the text of a container's output, so many bytes at most, as the Engine sends it without a terminal: frames of one byte for the stream, three
 * of zero, four for the length (big endian), and the content. Output of both streams in the order it was written.
 */
export function demultiplex(output: Buffer, maxBytes = MAX_TAIL_BYTES): string {
  const parts: Buffer[] = [];
  let at = 0;
  while (at + HEADER_BYTES <= output.length) {
    const isFrame = (output[at] ?? 255) <= 2 && output.readUIntBE(at + 1, 3) === 0;
    // No frames: a container with a terminal, whose output comes as it is.
    if (!isFrame) return output.subarray(-maxBytes).toString('utf8');
    const length = output.readUInt32BE(at + 4);
    parts.push(output.subarray(at + HEADER_BYTES, at + HEADER_BYTES + length));
    at += HEADER_BYTES + length;
  }
  return Buffer.concat(parts).subarray(-maxBytes).toString('utf8');
}
