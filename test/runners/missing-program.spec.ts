import { missingProgram } from '../../src/runners/missing-program.js';

const NODE = [
  'node:internal/modules/cjs/loader:1210',
  '  throw err;',
  '  ^',
  '',
  "Error: Cannot find module '/no/x.mjs'",
  'Require stack:',
  '- /srv/a.js',
  '    at Module._resolveFilename (node:internal/modules/cjs/loader:1207:15) {',
  "  code: 'MODULE_NOT_FOUND',",
  '  requireStack: []',
  '}',
  '',
  'Node.js v20.11.0',
];

describe('what an interpreter says of a program that is not there', () => {
  it.each([
    [2, ["/usr/bin/python3: can't open file '/no/serve.py': [Errno 2] No such file or directory"]],
    [1, ['/usr/bin/python3: No module named nosuchmod']],
    [1, ["/usr/bin/python3: Error while finding module specification for 'a.b' (ModuleNotFoundError: …)"]],
    [1, ["/usr/bin/python3: can't find '__main__' module in '/srv'"]],
    [2, ['sh: 0: cannot open /no/run.sh: No such file']],
    [2, ['Can\'t open perl script "/no/x.pl": No such file or directory']],
    [1, ['Error: Unable to access jarfile /no/x.jar']],
    [1, ['loading …', ...NODE]],
    [1, ["Error [ERR_MODULE_NOT_FOUND]: Cannot find package 'nope' imported from /srv/a.mjs", '    at x']],
    [127, ['bash: /no/run.sh: No such file or directory']],
    [127, ['/srv/run.sh: line 3: nosuch: command not found']],
    [127, ['sh: 1: exec: nosuch: not found']],
    [127, ['env: ‘nosuch’: No such file or directory']],
    [127, ['./serve: error while loading shared libraries: libz.so.9: cannot open shared object file']],
    [126, ['bash: line 1: /etc/passwd: Permission denied']],
    [126, ['/etc: /etc: Is a directory']],
    [126, ['sh: 1: ./serve: Exec format error']],
  ])('with exit code %d: %j', (exitCode, lines) => {
    expect(missingProgram(lines, exitCode)).toMatch(
      /No such file|module|not found|jarfile|package|denied|directory|cannot open|format/,
    );
  });

  it.each([
    ['an end for another cause, after it went on', 1, [...NODE, 'ConnectionError: no database yet']],
    ['a shell that went on', 1, ['run.sh: line 3: setup: command not found']],
    ['a program that ended so itself', 127, ['the queue is not up yet']],
    [
      'a library of the driver',
      127,
      ['./serve: error while loading shared libraries: libcuda.so.1: cannot open'],
    ],
    ['memory', 126, ['bash: /usr/bin/serve: Cannot allocate memory']],
    ['a file that is being written', 126, ['bash: ./serve: Text file busy']],
    ['no line', 127, []],
  ])('is not said by %s', (_what, exitCode, lines) => {
    expect(missingProgram(lines, exitCode)).toBeUndefined();
  });
});
