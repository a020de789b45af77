"""Training and processing jobs that really run, as local processes.

http             answers requests about jobs; moto answers all others
api              the calls about jobs
sync_task        Step Functions' Task that waits for a job
job              a job from its creation to its end, using
  scheduler        the order of jobs, and their cores
  inputs           its inputs from S3
  job_process      its processes
  outputs          its uploads
  job_cache        outputs of finished jobs, reused
  job_logs         its log streams
fault_injection  hooks for tests
"""
