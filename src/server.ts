import { join } from 'node:path';
import { runBundle } from './kept-code.js';

runBundle(join(import.meta.dirname, 'program.cjs'));
