/** What to do about an error with this code; docs/errors.md says more. */
const REMEDIES: Readonly<Record<string, string>> = {
  DOCKER_UNAVAILABLE:
    'Start Docker (`systemctl start docker`), let the user of this service use its socket, or correct launchers.docker.socket_path.',
  DOCKER_TOO_OLD: 'Update Docker.',
  IMAGE_MISSING: 'Pull the image (`docker pull`), correct its name, or set pull: if-missing.',
  COMMAND_MISSING: 'Install the program, or correct its path in the configuration.',
  HOST_PATH_MISSING: 'Create the path, or correct the key that names it.',
  PORT_IN_USE: 'Stop what has the port, or configure another.',
  BIND_ADDRESS_UNUSABLE:
    'See `ip addr` for the addresses of this host, and correct the key that names another.',
  NAME_TAKEN: 'Remove what has the name, or change container_name.',
  LAUNCH_FAILED:
    'Install the NVIDIA Container Toolkit, run `nvidia-ctk runtime configure --runtime=docker` and restart Docker.',
  MODEL_CONFIG_FAILED: 'Mend the template of the model, or the permissions of its directory.',
  MODEL_REPOSITORY_CHANGED:
    'Stop all models on that Triton, so that it is launched anew, or put model_repository_host_path back.',
  COMFYUI_FILE_MISSING: 'Create the path, or correct the key that names it.',
  GPU_NOT_FOUND: 'See `nvidia-smi -L` for the GPUs of this host, and correct the key that names another.',
  GPU_NOT_USABLE: 'Give the backend a GPU of this host.',
  NVML_NOT_INSTALLED:
    "Install NVIDIA's driver, set gpus.nvml_library, or set gpus.source: simulated to try things out.",
  FILES_STUCK:
    'Bring the file system of the path back: `findmnt -T` names it, and its server where it has one.',
  PREFLIGHT_TIMEOUT: 'See why the disk hangs.',
  GPU_READ_FAILED: 'Make `nvidia-smi` work for the user of this service.',
};

export function remedyOf(code: string): string {
  return REMEDIES[code] ?? `See docs/errors.md, ${code}.`;
}
