"""Training, processing, transform and tuning jobs that really run, and endpoints that really answer, as local processes
or containers.

api            answers the calls about jobs, models and endpoints; moto answers all others
pages          answers of calls that list something
models         SageMaker's models, in moto
model_registry its registry of models' versions, on disk
sync_task      Step Functions' Task that waits for a job
job            a job from its creation to its end, using
  scheduler      the order of jobs, and their cores
  job_files      its inputs from S3, and its uploads, which archives packs
  checkpoints    its checkpoints, in S3 while it runs
  metrics        numbers that it prints
  images         what it runs for an image: a script, an equivalent or the image itself
  built_in       AWS's own images with an equivalent
  job_process    its processes
  bubblewrap     its containers
  job_cache      outputs of finished jobs, reused
transform      a transform job, using
  transform_data splits objects into requests, and assembles the answers
  serving        the client of a container that serves
tuning         a tuning job, which creates training jobs
endpoints      answers the calls about endpoints and their configurations
endpoint       an endpoint and its changes, using
  model_server   the server of a variant, started again when it ends
  target_models  the models of a multi-model endpoint's server, loaded and unloaded
  traffic        which server answers a request
invocations    InvokeEndpoint
data_capture   requests and answers of endpoints, in S3
scaling        Application Auto Scaling of endpoints, as records
"""
