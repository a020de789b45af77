"""AWS on this computer: the same definition, templates, Lambda and scripts as in an account, with nothing but Python.

run.py, up.py    `run --local` and `local up`, told from the beginning to the end; again.py: redrive and watch
  compiled.py      the definition, compiled once; parsed.py: and parsed once
  deployed.py      a local AWS with the pipeline deployed to it
  watcher.py       keeps DIR/runs/ up to date; run_folder.py: what is left of a run, stored.py: what is known of all
  journal.py       which executions began, so that those that were cut off go on
server.py        the local AWS as a whole: what is started, in which order, and ended
  surroundings.py  what the shell says about AWS never gets here
  web.py           the web server on 127.0.0.1; door.py keeps what is asked of SageMaker's jobs, moto gets the rest
  gate.py          in front of all: roles may do what their policies allow
    operations.py    which operation a request is
    asked.py         which rights it needs
    permissions.py   who calls, and what the policies say of it, decided by iam.py
  clients.py       clients of it; within.py: the server's own need no socket
  cloudformation/  deploys the templates that an account gets
  objects.py       what the buckets hold, on disk; buckets.py: moto's S3 on top of it
  moto_fixes/      what moto does otherwise than AWS; patching.py: how it is fixed
  machine_versions.py  versions and aliases of state machines
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
events.py        uploads' events, as S3 sends them; rules.py: EventBridge's; pending.py: no event is lost
alarms.py        CloudWatch's alarm on the dead-letter queue
functions.py     the Lambda, through function_api.py, function_worker.py, function_process.py and function_logs.py
mail.py          SNS's mails, in a folder
"""
