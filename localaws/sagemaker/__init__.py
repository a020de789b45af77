"""Training and processing jobs that really run, as local processes.

api            answers the calls about jobs; moto answers all others
sync_task      Step Functions' Task that waits for a job
job            a job from its creation to its end, using
  scheduler      the order of jobs, and their cores
  job_files      its inputs from S3, and its uploads, which archives packs
  metrics        numbers that it prints
  job_process    its processes
  job_cache      outputs of finished jobs, reused
"""
