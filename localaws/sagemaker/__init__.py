"""Training and processing jobs that really run, as local processes.

http             answers requests about jobs; moto answers the rest of SageMaker
api              the calls about jobs
sync_task        Step Functions' Task that waits for a job
job              a job from its creation to its end, through
  scheduler        the order of jobs, and their cores
  inputs           what it reads
  job_process      its processes
  outputs          what it uploads
  job_cache        finished jobs, not run again
  job_logs         its log streams
fault_injection  hooks for tests
"""
