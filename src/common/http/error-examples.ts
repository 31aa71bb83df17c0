/**
 * One answer for each code that a request can get, as the service would word it; for the API's document. A route names the
 * codes that it can really answer with (`ApiErrors`).
 */
export const ERROR_EXAMPLES = {
  VALIDATION_FAILED: 'Invalid request: gpu_id must be an integer number.',
  BAD_REQUEST: "Failed to decode param '%ff'",
  INVALID_JSON: 'The request body is not valid JSON: Unexpected end of JSON input.',
  BODY_TOO_DEEP: 'The request body is nested too deep: 32 levels of objects and lists are the limit.',
  UNSUPPORTED_CONTENT_TYPE: 'Send the body as JSON, with the header Content-Type: application/json.',
  UNSUPPORTED_MEDIA_TYPE: 'unsupported charset "LATIN1"',
  BODY_TOO_LARGE: 'The request body is too large: server.body_limit_kb is the limit.',
  INTERNAL_ERROR: 'Internal error: the log of this service has the cause.',
  NOT_READY: 'Not ready: this service is starting or shutting down.',
  SHUTTING_DOWN: 'This service is shutting down and takes no more commands.',
  ADOPTION_PENDING:
    'The state of this service was lost, and what triton serves has not been taken up yet: no answer so far. Nothing was changed; it is tried all the time: mend that, or try again.',
  STATE_WRITE_FAILED:
    'Cannot write the state to /var/lib/model-inference-client/desired-state.json: no space left on device. Nothing was changed; free space or mend the directory.',
  MODEL_UNKNOWN: 'Model "MAN" is not supported. Supported models: MAM, FastFitAll.',
  MODEL_TYPE_MISMATCH:
    'MAM is a model of triton, and model_type says "comfyui": leave model_type out, or send "triton".',
  MODEL_NOT_RUNNING: 'Model "MAM" is not running on GPU 0.',
  CONFIG_OPTION_INVALID: 'Invalid config for MAM: config.instances is no option of triton.',
  GPU_NOT_FOUND: 'CUDA device not found: there is no GPU 9 on this host. GPUs: 0, 1, 2, 3.',
  GPU_NOT_USABLE: 'GPU 3 is not among those that runners.triton.gpus gives to Triton.',
  GPU_CORDONED:
    'GPU 3 is cordoned since 2026-03-02T10:15:00.000Z by this service: Xid 79 (the GPU has fallen off the bus). Nothing is started on it: choose another GPU, or mend it and end the cordon with POST /api/v1/gpus/3/uncordon.',
  OPTIONS_CONFLICT:
    'MAM already runs on GPU 0 with {"instances_per_gpu":8}, and all GPUs of a model share its options: start with the same config, or stop it first.',
  PLACEMENT_OVERLAP:
    'big-llm would take GPU 1, 2, and runs on GPU 0, 1 already: stop it there first, or choose GPUs apart from these.',
  GPU_MEMORY_SHORT:
    'MAM needs 9000 MiB on GPU 0, and 4096 MiB are left of 24576: FastFitAll takes 20480 MiB. Stop FastFitAll, or choose another GPU.',
  GPU_EXCLUSIVE: 'GPU 0 is exclusive, and FastFitAll is on it: stop FastFitAll, or choose another GPU.',
  ENSEMBLE_STEPS_NOT_RUNNING:
    'pipeline is an ensemble of models that do not run: tokenizer. Start these first, and pipeline when they are RUNNING.',
  MODEL_REPOSITORY_CHANGED:
    'triton_server was launched with the model repository /srv/models, and runners.triton.model_repository_host_path is /data/models by now. It serves on what it has, and takes no start: stop all models on it, so that it is launched anew, or put the path back.',
  DOCKER_UNAVAILABLE:
    'Cannot connect to the Docker daemon at /var/run/docker.sock: no such file or directory. Start Docker.',
  IMAGE_MISSING:
    'Image nvcr.io/nvidia/tritonserver:25.04-py3 is not on this host: run `docker pull nvcr.io/nvidia/tritonserver:25.04-py3`.',
  COMMAND_MISSING:
    'Command not found: no tritonserver on the PATH (/usr/bin:/bin); install it, or name its full path in runners.triton.command',
  BIND_ADDRESS_UNUSABLE:
    '192.0.2.7 is not an address of this host (`ip addr` shows those there are): correct runners.vllm.bind_address.',
  PORT_IN_USE: 'Port 8000 already in use by process 4711 (python): stop it, or configure another port.',
  NAME_TAKEN:
    "The container name triton_server is taken by a container that is not this service's (3f2a9c81d0be): remove it, or configure another name",
  MODEL_CONFIG_FAILED:
    'Could not generate config for model MAM: config.pbtxt.template is not in its directory of the model repository.',
  COMFYUI_FILE_MISSING: 'runners.comfyui.comfyui_path: /opt/ComfyUI/main.py is not there.',
  COMFYUI_NOT_CONFIGURED:
    'ComfyUI is not configured: set runners.comfyui.comfyui_path and runners.comfyui.python.',
  SERVER_RECORDS_GONE:
    '/var/lib/model-inference-client/processes was there and is not any more: put it back, or start this service again.',
  FILES_STUCK:
    '/mnt/models/MAM/config.pbtxt.template does not answer: a read or write of it is not done after 2 s. Bring its file system back; what needs none of its files goes on.',
  PREFLIGHT_TIMEOUT: 'The checks of a start of MAM were not done within 5 s. Nothing was changed: try again.',
  STOP_TIMEOUT:
    'MAM on GPU 0 was not stopped within 62 s; the stop goes on. Its status tells when it is done.',
  STOP_FAILED: 'Triton did not unload MAM from GPU 0 within 120 s (runners.triton.api_timeout_seconds).',
  GPU_MEMORY_HELD:
    'The server of MAM has ended, and process 4711 still holds 8192 MiB of GPU 0: it is looked at again.',
  PLACEMENT_NOT_RUNNING: 'llm on GPU 0 is STARTING: only a placement that is RUNNING can sleep and wake.',
  SLEEP_UNAVAILABLE: 'llm cannot sleep: set sleep_mode for it in runners.vllm.models, and start it anew.',
  SLEEP_FAILED: 'llm on GPU 0 did not fall asleep: POST /sleep answered 500.',
  SLEEP_TIMEOUT:
    'llm on GPU 0 did not fall asleep within 120 s (runners.vllm: sleep_timeout_seconds). Its status tells whether it sleeps; ask again.',
  SLEEP_NOT_SUPPORTED: 'Models of triton cannot sleep: stop the model to free its memory.',
  SERVER_LOST: 'vllm_llm_0 is not there: vllm_llm_0 ended with exit code 137 (out of memory)',
  NVML_NOT_INSTALLED: "NVIDIA's management library cannot be loaded: install the driver.",
  GPU_READ_FAILED: 'The GPUs cannot be read: driver not loaded.',
  PID_INVALID: 'A pid is a whole number from 1 to 4194304.',
  DRY_RUN_INVALID: 'dry_run is true or false.',
  PROCESS_NOT_FOUND: 'There is no process 12345.',
  PROCESS_FORBIDDEN: 'Process 1 is never ended.',
  PROCESS_OUT_OF_SCOPE: 'Process 12345 holds no memory of a GPU, and processes.scope is gpu.',
  PROCESS_PERMISSION: 'This service may not signal process 12345, which runs as root.',
  PROCESS_NOT_KILLED: 'Process 12345 is still there 10 s after SIGKILL: it hangs in the kernel.',
  PROCESS_OWNER_UNKNOWN:
    'Nobody can tell whose process 12345 is while the Docker Engine does not answer: nothing was ended.',
} as const;

export type ErrorCode = keyof typeof ERROR_EXAMPLES;
