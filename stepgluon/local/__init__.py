"""AWS on this computer: the same definition, Lambda and job scripts as in an account, with nothing but Python.

server.py        the local AWS as a whole: what is started, in which order, and ended
  surroundings.py  what the shell says about AWS never gets here
  web.py           the web server on 127.0.0.1; door.py keeps what is asked of SageMaker's jobs, moto gets the rest
  objects.py       what the buckets hold, on disk; buckets.py: moto's S3 on top of it
  moto_fixes.py    what moto does otherwise than AWS, fixed in one place; patching.py: how
  sagemaker.py     the API of training and processing jobs; sync.py: the Task that waits for one
  job.py           a job from its creation to its end, through
    scheduler.py     whose turn it is, and on how many cores
    inputs.py        what it reads
    job_process.py   its processes; guard.py ends what a killed server leaves
    outputs.py       what it leaves
    memory.py        finished jobs are not run again
    logs.py          what it says
  turns.py         a few executions at a time, in their order
  executions.py    what an execution was, kept on disk when it has ended
  faults.py        where tests break things
stack.py         what a pipeline needs to be there
events.py, functions.py, mail.py   uploads that start the Lambda, and mails in a folder; pending.py: no event is lost
"""
