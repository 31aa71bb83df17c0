import { spawnSync } from 'node:child_process';

/** Those that the wheel of tritonserver has a stub for, and NumPy 1 a wheel. */
const VERSIONS = ['3.12', '3.11', '3.10', '3.9'];
/** Of the wheel's own libraries. */
const GLIBC = '2.35';

/** What a Python says of itself: models run in its shared library, which not every Python has. */
const QUESTION = `
import ctypes, importlib.util, json, os, sys, sysconfig
version = "%d.%d" % sys.version_info[:2]
library = "libpython" + version + ".so.1.0"
places = [sysconfig.get_config_var("LIBDIR") or "", os.path.join(sys.base_prefix, "lib")]
own = next((place for place in places if os.path.isfile(os.path.join(place, library))), None)
try:
    ctypes.CDLL(library)
    is_installed = True
except OSError:
    is_installed = False
print(json.dumps({
    "executable": sys.executable, "version": version, "library": library, "own": own, "isInstalled": is_installed,
    "home": sys.base_prefix, "hasPip": importlib.util.find_spec("pip") is not None,
    "glibc": (os.confstr("CS_GNU_LIBC_VERSION") or "").replace("glibc ", ""),
}))
`;

function ask(program) {
  const { status, stdout } = spawnSync(program, ['-c', QUESTION], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  return status === 0 ? JSON.parse(stdout) : undefined;
}

/** What models need to find this Python's library and its modules; `undefined` where it has no such library. */
function environmentOf({ own, isInstalled, home }) {
  if (own !== null) return { PYTHONHOME: home, LD_LIBRARY_PATH: own };
  return isInstalled ? {} : undefined;
}

function faultOf(answer) {
  const { executable, version, library, hasPip, glibc } = answer;
  if (!VERSIONS.includes(version))
    return `${executable} is Python ${version}; ${VERSIONS.join(', ')} will do`;
  if (!glibc || glibc.localeCompare(GLIBC, undefined, { numeric: true }) < 0)
    return `tritonserver needs glibc ${GLIBC} or later (Debian 12, Ubuntu 22.04); this host has ${glibc || 'another C library'}`;
  if (!hasPip) return `${executable} has no pip (Debian, Ubuntu: sudo apt-get install python3-pip)`;
  if (!environmentOf(answer))
    return `${executable} has no ${library}, in which models run (Debian, Ubuntu: sudo apt-get install libpython${version})`;
  return undefined;
}

/**
 * The first Python of this host that Triton's models can run on: `PYTHON` alone if that is set, else `python3` and then
 * the others by their version.
 * @param fail takes the message that says why there is none
 * @returns its executable and version, and the environment that models need
 */
export function findPython(fail) {
  const given = process.env.PYTHON;
  const programs = given ? [given] : ['python3', ...VERSIONS.map((version) => `python${version}`)];
  const answers = programs.map(ask).filter((answer) => answer !== undefined);
  const usable = answers.find((answer) => faultOf(answer) === undefined);
  if (usable) return { ...usable, environment: environmentOf(usable) };
  const [first] = answers;
  return fail(
    first
      ? `${faultOf(first)}. Another Python: PYTHON=… npm run demo:triton`
      : `needs Python ${VERSIONS.at(-1)} to ${VERSIONS[0]} with pip; ${programs[0]} is not there`,
  );
}
