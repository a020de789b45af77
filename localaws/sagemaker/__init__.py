"""Training and processing jobs that really run, in processes on this computer.

http             takes requests about jobs out of the stream; moto answers the rest of SageMaker
api              the calls about jobs
sync_task        Step Functions' Task that waits for a job
job              a job from its creation to its end, through
  scheduler        whose turn it is, and on how many cores
  inputs           what it reads
  job_process      its processes
  outputs          what it leaves
  job_cache        finished jobs are not run again
  job_logs         what it says
fault_injection  where tests break things
"""
